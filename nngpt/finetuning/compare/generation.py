"""Generation of a comparison's answers, batch by batch; each batch is recorded when written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nngpt.finetuning.compare.arms import ArmPrompt, ComparedArm
from nngpt.finetuning.compare.records import Sample, Samples
from nngpt.generation import contract
from nngpt.protocols import LLM
from nngpt.records import Candidate, Completion

Seeds = Callable[..., int]
"""Derives a seed from parts: `nngpt.records.derive_seed` with the configuration's seed."""

OnProgress = Callable[[str, int, int, str], None]
"""Called with an activity, how much of it is done, its total, and a remark."""


@dataclass(frozen=True)
class Batch:
    """A batch of answers to write: indices `first` … `first + size - 1`."""

    number: int
    first: int
    size: int


def missing_batches(recorded: Sequence[Sample], wanted: int, batch_size: int) -> Iterator[Batch]:
    """Yield the batches of answers that a compared arm still has to write for a prompt.

    A batch that was interrupted is written again as a whole, from the same seed.
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


def unwritten(record: Samples, arms: Sequence[ComparedArm], wanted: int) -> bool:
    """Return True if a compared arm has answers to write; otherwise no model need be loaded."""
    return any(
        any(missing_batches(_of(record, arm, a), wanted, 1)) for arm in arms for a in arm.prompts
    )


def write_answers(
    record: Samples,
    arms: Sequence[ComparedArm],
    llm: LLM,
    wanted: int,
    seeds: Seeds,
    on_progress: OnProgress,
) -> None:
    """Generate compared arms' answers: `wanted` for each prompt, with the same seeds for all.

    Raises: ModelError if an adapter does not fit, or the model fails.
    """
    for arm in arms:
        for asked in arm.prompts:
            batches = list(missing_batches(_of(record, arm, asked), wanted, llm.batch_size))
            if not batches:
                continue
            llm.use_adapter(arm.adapter)
            shown = {c.content_hash for c in arm.readers[asked.tasks[0]].examples().values()}
            for batch in batches:
                # Of the prompt's first task and not of the arm: all arms get equal seeds.
                seed = seeds("write", asked.tasks[0], batch.number)
                written = llm.generate(asked.prompt, batch.size, seed, arm.sampling)
                new = [_sample(arm, asked, batch, completion, shown) for completion in written]
                known = {sample.key for sample in _of(record, arm, asked)}
                record.append(sample for sample in new if sample.key not in known)
                done = len(_of(record, arm, asked))
                activity = f"{arm.name} writes for {', '.join(asked.tasks)}"
                on_progress(activity, done, max(wanted, done), _speed(new))


def _sample(
    arm: ComparedArm, asked: ArmPrompt, batch: Batch, completion: Completion, shown: set[str]
) -> Sample:
    """Return the record of an answer as the contract reads it; its network is not run."""
    found = arm.readers[asked.tasks[0]].read_answer(completion.text, asked.prompt)
    candidate = found if isinstance(found, Candidate) else None
    return Sample(
        arm=arm.name,
        asked=asked.key,
        tasks=asked.tasks,
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
        shown=candidate is not None and candidate.content_hash in shown,
    )


def _of(record: Samples, arm: ComparedArm, asked: ArmPrompt) -> list[Sample]:
    return [s for s in record.of(Sample) if (s.arm, s.asked) == (arm.name, asked.key)]


def _speed(samples: Sequence[Sample]) -> str:
    spent = sum(sample.seconds for sample in samples)
    return f"{sum(s.tokens for s in samples) / spent:.0f} tokens/s" if spent else ""
