"""Runs what the arms wrote: an epoch on each task's images, or one training step on noise.

Exact copies share one run: the seed follows from the network's hash, so they would give the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from nngpt.finetuning.compare.generation import Progress, Seeds
from nngpt.finetuning.compare.records import CHECK, TRAIN, Arm, Asked, Outcome, Sample
from nngpt.finetuning.compare.samples import Samples
from nngpt.protocols import Executor
from nngpt.records import Candidate, Evaluation, Refusal, Task, canonical_json

OpenExecutor = Callable[[str], AbstractContextManager[Executor]]
"""Opens the executor for a data set."""


@dataclass(frozen=True)
class Turn:
    """A sample that is to be run on one task."""

    sample: Sample
    candidate: Candidate
    task: Task

    @property
    def run(self) -> str:
        """A digest of all that decides what comes out: code, settings, transform, batch size."""
        c = self.candidate
        made_of = [c.content_hash, dict(c.hyperparameters), c.transform, c.batch]
        return hashlib.sha256(canonical_json(made_of).encode()).hexdigest()[:16]

    def outcome(self, how: str, found: Evaluation | Refusal) -> Outcome:
        """What is recorded of a run."""
        name, classes = self.task.dataset, self.task.out_shape[0]
        if isinstance(found, Refusal):
            return Outcome(*self.sample.key, how, name, classes, self.run, found)
        first = found.epochs[0]
        trained = how == TRAIN
        return Outcome(
            *self.sample.key,
            how,
            name,
            classes,
            self.run,
            None,
            accuracy=first.accuracy if trained else None,
            total=first.total if trained else 0,
            parameters=found.claimed_parameters,
            seconds=found.seconds,
        )


def judge(
    record: Samples,
    arms: Sequence[Arm],
    how: str,
    tasks: Sequence[str],
    open_executor: OpenExecutor,
    wanted: int,
    seeds: Seeds,
    progress: Progress,
) -> None:
    """Run the first `wanted` answers to each prompt: on all `tasks` to check, else on its own.

    Raises:
        UserError: a containment layer or a data set is missing.
        ExecutionError: the sandbox does not start.
    """
    for task in tasks:
        turns = [turn for arm in arms for turn in _turns(record, arm, how, task, wanted)]
        turns = _without_copies(record, turns, how, task)
        if not turns:
            continue
        first: dict[str, list[Turn]] = {}
        for turn in turns:
            first.setdefault(turn.run, []).append(turn)
        with open_executor(task) as executor:
            _run(record, list(first.values()), how, task, executor, seeds, progress)


def _turns(record: Samples, arm: Arm, how: str, task: str, wanted: int) -> list[Turn]:
    """What an arm wrote, the contract took, and this task has not seen; by index."""
    seen = {o.key for o in record.outcomes if (o.how, o.task) == (how, task)}
    asked = {a.key: a for a in arm.asked if how == CHECK or task in a.tasks}
    samples = [s for s in record.samples if s.arm == arm.name and s.asked in asked]
    samples = [s for s in samples if s.index < wanted and not s.refusal and s.key not in seen]
    read = [(sample, _read(arm, asked[sample.asked], task, sample)) for sample in samples]
    goal = arm.readers[task].task
    classes = goal.out_shape[0]
    refused = [(s, found) for s, found in read if isinstance(found, Refusal)]
    record.append(Outcome(*s.key, how, task, classes, "", found) for s, found in refused)
    return [Turn(sample, c, goal) for sample, c in read if isinstance(c, Candidate)]


def _read(arm: Arm, asked: Asked, task: str, sample: Sample) -> Candidate | Refusal:
    return arm.readers[task].read_answer(sample.text, asked.prompt)


def _without_copies(record: Samples, turns: Sequence[Turn], how: str, task: str) -> list[Turn]:
    """Record at once the turns whose network has run before; the others are left."""
    known = {o.run: o for o in record.outcomes if o.run and (o.how, o.task) == (how, task)}
    copies = [turn for turn in turns if turn.run in known]
    record.append(_copied(turn, known[turn.run]) for turn in copies)
    return [turn for turn in turns if turn.run not in known]


def _copied(turn: Turn, outcome: Outcome) -> Outcome:
    arm, asked, index = turn.sample.key
    return replace(outcome, arm=arm, asked=asked, index=index, seconds=0.0, copied=True)


def _run(
    record: Samples,
    groups: Sequence[Sequence[Turn]],
    how: str,
    task: str,
    executor: Executor,
    seeds: Seeds,
    progress: Progress,
) -> None:
    """Run one of each group of copies, as many at once as the executor has workers."""
    what = f"{'checking on noise like' if how == CHECK else 'training on'} {task}"
    with ThreadPoolExecutor(executor.workers) as pool:
        futures = {}
        for group in groups:
            candidate = group[0].candidate
            seed = seeds("train", candidate.content_hash)
            futures[pool.submit(executor.evaluate, candidate, seed)] = group
        try:
            for done, future in enumerate(as_completed(futures), 1):
                first, *others = futures[future]
                outcome = first.outcome(how, future.result())
                record.append([outcome, *(_copied(turn, outcome) for turn in others)])
                progress(what, done, len(groups), _remark(outcome))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            executor.stop()
            raise


def _remark(outcome: Outcome) -> str:
    if outcome.refusal is not None:
        return f"{outcome.arm} {outcome.index}: {outcome.refusal.stage}"
    accuracy = "runs" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"
    return f"{outcome.arm} {outcome.index}: {accuracy}"
