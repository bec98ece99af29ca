"""Judging of a comparison's answers: an epoch on a task's images, or one step on noise.

Exact copies share one run: the seed follows from the network's hash, so they would give the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from nngpt.finetuning.compare.arms import ComparedArm
from nngpt.finetuning.compare.generation import OnProgress, Seeds
from nngpt.finetuning.compare.records import CHECK, TRAIN, Sample, SampleOutcome, Samples
from nngpt.protocols import Executor
from nngpt.records import Candidate, Evaluation, Refusal, Task, canonical_json
from nngpt.sandbox.parallel import run_parallel


@dataclass(frozen=True)
class PendingRun:
    """A compared answer whose network is to be run on a task."""

    sample: Sample
    candidate: Candidate
    task: Task

    @property
    def digest(self) -> str:
        """Digest of what decides the outcome: code, hyperparameters, transform, batch size."""
        c = self.candidate
        made_of = [c.content_hash, dict(c.hyperparameters), c.transform, c.batch]
        return hashlib.sha256(canonical_json(made_of).encode()).hexdigest()[:16]

    def outcome(self, how: str, found: Evaluation | Refusal) -> SampleOutcome:
        """Return the record of the run's result."""
        name, classes = self.task.dataset, self.task.out_shape[0]
        outcome = SampleOutcome(*self.sample.key, how, name, classes, self.digest, None)
        if isinstance(found, Refusal):
            return replace(outcome, refusal=found)
        outcome = replace(outcome, parameters=found.claimed_parameters, seconds=found.seconds)
        first = found.curve[0]
        images = 0 if first.trainings else first.images  # no interval that ignores the seeds
        trained = replace(outcome, accuracy=first.accuracy, total=images)
        return trained if how == TRAIN else outcome


def judge(
    record: Samples,
    arms: Sequence[ComparedArm],
    how: str,
    tasks: Sequence[str],
    open_executor: Callable[[str], AbstractContextManager[Executor]],
    wanted: int,
    seeds: Seeds,
    on_progress: OnProgress,
) -> None:
    """Judge the first `wanted` answers to each prompt: on all `tasks` to check, else on their own.

    Raises: UserError for a missing containment layer or data set, ExecutionError.
    """
    for task in tasks:
        pending = [run for arm in arms for run in _pending(record, arm, how, task, wanted)]
        groups: dict[str, list[PendingRun]] = {}
        for run in _without_copies(record, pending, how, task):
            groups.setdefault(run.digest, []).append(run)
        if groups:
            with open_executor(task) as executor:
                _run(record, list(groups.values()), how, task, executor, seeds, on_progress)


def _pending(
    record: Samples, arm: ComparedArm, how: str, task: str, wanted: int
) -> list[PendingRun]:
    """Return an arm's networks that this task has not seen, by index; record refused ones."""
    seen = {o.key for o in record.of(SampleOutcome) if (o.how, o.task) == (how, task)}
    asked = {a.key: a for a in arm.prompts if how == CHECK or task in a.tasks}
    samples = [s for s in record.of(Sample) if s.arm == arm.name and s.asked in asked]
    samples = [s for s in samples if s.index < wanted and not s.refusal and s.key not in seen]
    reader = arm.readers[task]
    read = [(s, reader.read_answer(s.text, asked[s.asked].prompt)) for s in samples]
    classes = reader.task.out_shape[0]
    refused = [(s, found) for s, found in read if isinstance(found, Refusal)]
    record.append(SampleOutcome(*s.key, how, task, classes, "", found) for s, found in refused)
    return [PendingRun(sample, c, reader.task) for sample, c in read if isinstance(c, Candidate)]


def _without_copies(
    record: Samples, pending: Sequence[PendingRun], how: str, task: str
) -> list[PendingRun]:
    """Record the outcomes of networks that have run before, and return the others."""
    ran = record.of(SampleOutcome)
    known = {o.run: o for o in ran if o.run and (o.how, o.task) == (how, task)}
    copies = [run for run in pending if run.digest in known]
    record.append(_copied(run, known[run.digest]) for run in copies)
    return [run for run in pending if run.digest not in known]


def _copied(run: PendingRun, outcome: SampleOutcome) -> SampleOutcome:
    arm, asked, index = run.sample.key
    return replace(outcome, arm=arm, asked=asked, index=index, seconds=0.0, copied=True)


def _run(
    record: Samples,
    groups: Sequence[Sequence[PendingRun]],
    how: str,
    task: str,
    executor: Executor,
    seeds: Seeds,
    on_progress: OnProgress,
) -> None:
    """Run one of each group of exact copies, as many at once as the executor has workers."""
    activity = f"{'checking on noise like' if how == CHECK else 'training on'} {task}"
    candidates = {number: group[0].candidate for number, group in enumerate(groups)}
    jobs = {
        number: partial(executor.evaluate, candidate, seeds("train", candidate.content_hash))
        for number, candidate in candidates.items()
    }
    for done, (number, found) in enumerate(run_parallel(executor, jobs), 1):
        first, *others = groups[number]
        outcome = first.outcome(how, found)
        record.append([outcome, *(_copied(run, outcome) for run in others)])
        on_progress(activity, done, len(groups), _remark(outcome))


def _remark(outcome: SampleOutcome) -> str:
    if outcome.refusal is not None:
        return f"{outcome.arm} {outcome.index}: {outcome.refusal.stage}"
    accuracy = "runs" if outcome.accuracy is None else f"{outcome.accuracy:.1%}"
    return f"{outcome.arm} {outcome.index}: {accuracy}"
