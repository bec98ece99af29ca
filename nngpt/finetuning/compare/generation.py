"""Lets every arm write its answers, batch by batch, each batch recorded as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nngpt.finetuning.compare.records import Arm, Asked, Sample
from nngpt.finetuning.compare.samples import Samples
from nngpt.generation import contract
from nngpt.protocols import LLM
from nngpt.records import Candidate, Completion

Seeds = Callable[..., int]
"""Makes a seed from parts: `nngpt.cycle.loop.derive_seed` with the configuration's seed."""

Progress = Callable[[str, int, int, str], None]
"""Called with what is going on, how much is done, of how much, and a remark."""


@dataclass(frozen=True)
class Batch:
    """Answers to write together: those with the indices `first` … `first + size - 1`."""

    number: int
    first: int
    size: int


def missing(recorded: Sequence[Sample], wanted: int, batch_size: int) -> Iterator[Batch]:
    """What one arm still has to write for one prompt.

    A batch that a kill cut off in the middle is written again whole, from the same seed.
    """
    by_number: dict[int, list[Sample]] = {}
    for sample in recorded:
        by_number.setdefault(sample.batch, []).append(sample)
    first = 0
    for number, samples in sorted(by_number.items()):
        if len(samples) < samples[0].size:
            yield Batch(number, first, samples[0].size)
        first += samples[0].size
    number = max(by_number, default=-1) + 1
    while first < wanted:
        size = min(batch_size, wanted - first)
        yield Batch(number, first, size)
        number, first = number + 1, first + size


def unwritten(record: Samples, arms: Sequence[Arm], wanted: int) -> bool:
    """True if an arm has yet to write; if not, no model need be loaded."""
    return any(any(missing(_of(record, arm, a), wanted, 1)) for arm in arms for a in arm.asked)


def write(
    record: Samples, arms: Sequence[Arm], llm: LLM, wanted: int, seeds: Seeds, progress: Progress
) -> None:
    """Have each arm answer each of its prompts `wanted` times, the same seeds for all arms.

    Raises:
        ModelError: an adapter does not fit, or the model fails.
    """
    for arm in arms:
        for asked in arm.asked:
            batches = list(missing(_of(record, arm, asked), wanted, llm.batch_size))
            if not batches:
                continue
            llm.use_adapter(arm.adapter)
            answering = _Answering(arm, asked)
            for batch in batches:
                # The prompt's first task and not the arm: equal seeds for all arms.
                seed = seeds("write", asked.tasks[0], batch.number)
                written = llm.generate(asked.prompt, batch.size, seed, arm.sampling)
                new = [answering.sample(batch, completion) for completion in written]
                known = {sample.key for sample in _of(record, arm, asked)}
                record.append(sample for sample in new if sample.key not in known)
                done = len(_of(record, arm, asked))
                what = f"{arm.name} writes for {', '.join(asked.tasks)}"
                progress(what, done, max(wanted, done), _speed(new))


class _Answering:
    """An arm that answers a prompt: makes records of completions."""

    def __init__(self, arm: Arm, asked: Asked) -> None:
        self._arm, self._asked = arm, asked
        self._reader = arm.readers[asked.tasks[0]]
        self._shown = {example.content_hash for example in self._reader.examples().values()}

    def sample(self, batch: Batch, completion: Completion) -> Sample:
        """The answer, read by the contract; nothing of it is run."""
        found = self._reader.read_answer(completion.text, self._asked.prompt)
        candidate = found if isinstance(found, Candidate) else None
        return Sample(
            arm=self._arm.name,
            asked=self._asked.key,
            tasks=self._asked.tasks,
            index=batch.first + completion.index,
            batch=batch.number,
            size=batch.size,
            seed=completion.seed,
            text=completion.text,
            prompt_tokens=completion.prompt_tokens,
            tokens=completion.completion_tokens,
            seconds=completion.seconds,
            finished=completion.finished,
            refusal=None if isinstance(found, Candidate) else found,
            hash=candidate.content_hash if candidate else "",
            network=contract.novelty_text(candidate) if candidate else "",
            shown=candidate is not None and candidate.content_hash in self._shown,
        )


def _of(record: Samples, arm: Arm, asked: Asked) -> list[Sample]:
    return [s for s in record.samples if (s.arm, s.asked) == (arm.name, asked.key)]


def _speed(samples: Sequence[Sample]) -> str:
    spent = sum(sample.seconds for sample in samples)
    return f"{sum(s.tokens for s in samples) / spent:.0f} tokens/s" if spent else ""
