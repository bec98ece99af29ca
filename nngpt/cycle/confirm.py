"""Full trainings on the test set (`nngpt cycle confirm`): train a sample of a run's candidates.

Besides the card of an exported network, this is all that opens the test images (docs/design.md,
Test set apart). The results select nothing: they are stored beside the candidates and reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from nngpt.config import Config, EvaluationConfig, changed, completed
from nngpt.cycle.parts import check_same_images, open_executor
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import ConfigError
from nngpt.protocols import Executor, Log
from nngpt.records import Refusal, canonical_json, derive_seed
from nngpt.reports.analysis.full_training import REPEAT
from nngpt.reports.tables.confirm import confirmed_line
from nngpt.reports.text import plural
from nngpt.sandbox.parallel import run_parallel
from nngpt.store import AttemptRecord, Confirmation, Lease, RunRecord, Store

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


FIXED = ("epochs", "seeds", "folds", "early_stop", "budget_s", "latency", "proxies")
"""Keys of `evaluation` that a confirmation sets itself (folds would train on test images)."""


@dataclass(frozen=True)
class ConfirmationPlan:
    """The protocol of a confirmation's full trainings.

    Attributes:
        run: the run's configuration.
        epochs: number of epochs of each training.
        seed: seed of the trainings.
        train_limit: number of training images, None for all.
        scaled: whether a limit in seconds grows with the work, compared with the run's.
        repeat: number of the training of each candidate, from 0; each has a seed of its own.
    """

    run: Config
    epochs: int
    seed: int
    train_limit: int | None
    scaled: bool = True
    repeat: int = 0

    @property
    def config(self) -> Config:
        """The run's configuration with one full training per candidate and no budgets."""
        evaluation = self.run.evaluation.once(epochs=self.epochs)
        task = self.run.task.model_copy(update={"train_limit": self.train_limit})
        return self.run.model_copy(update={"evaluation": evaluation, "task": task})

    @property
    def protocol(self) -> str:
        """Everything that determines a confirmation besides the candidate, as canonical JSON.

        Includes the limits: a candidate that exceeded time or memory may be retried with more.
        """
        images = {"dataset": self.run.task.dataset, "train_limit": self.train_limit}
        seeds = {"seed": self.seed, "split_seed": self.run.seed}
        given = self.run.evaluation
        limits = {"device": given.device, "limit_s": given.limit_s, "memory_mb": given.memory_mb}
        facts = {"judged_on": "test", **images, **seeds, **limits, "scaled": self.scaled}
        if self.repeat:
            facts[REPEAT] = self.repeat
        return canonical_json({**self.config.evaluation.protocol(), **facts})

    def evaluation(self, splits: Splits) -> EvaluationConfig:
        """Return a confirmation's training protocol, with a limit that fits these images."""
        found, usual = self.config.evaluation, self.run.evaluation.epochs
        if not self.scaled or found.limit_s == "auto":
            return found
        trained = min(self.run.task.train_limit or splits.train.count, splits.train.count)
        images = (splits.train.count + splits.test.count) / (trained + splits.validation.count)
        times = max(1, self.epochs / usual) * max(1, images)
        return found.model_copy(update={"limit_s": found.limit_s * times})


def confirmation_config(run: RunRecord, overrides: Sequence[str], sandbox: str | None) -> Config:
    """Return a run's configuration for a confirmation, with overrides of `evaluation`.

    Args:
        sandbox: containment level, None for the run's.

    Raises:
        ConfigError: a confirmation does not allow an override, or a key or value is wrong.
    """
    for given in overrides:
        section, _, key = given.partition("=")[0].strip().partition(".")
        if section != "evaluation" or key in FIXED:
            what = f"{section}.{key}" if key else section
            hint = "Use --epochs" if key == "epochs" else "Only other keys of evaluation can be set"
            raise ConfigError(f"{what!r} cannot be changed here", where="--set", hint=hint)
    extra = [f"evaluation.sandbox={sandbox}"] if sandbox else []
    return changed(completed(run.config), [*overrides, *extra], "--set")


def stored_confirmations(
    store: Store, run: RunRecord, plan: ConfirmationPlan
) -> dict[int, Confirmation]:
    """Return the stored confirmations by this plan's protocol, by attempt."""
    found = store.confirmations(run.id)
    return {c.attempt_id: c for c in found if c.protocol == plan.protocol}


def confirm_sample(
    store: Store,
    run: RunRecord,
    sample: Sequence[AttemptRecord],
    plan: ConfirmationPlan,
    log: Log,
    draw: Callable[[str, int, int], None],
) -> list[tuple[AttemptRecord, Confirmation]]:
    """Train the candidates of the sample that this protocol has not confirmed; return all results.

    Args:
        draw: called with the activity, the number of candidates trained, and their total.

    Raises: UserError if another process works on the run, or the executor cannot run here.
    """
    done = stored_confirmations(store, run, plan)
    left = [attempt for attempt in sample if attempt.id not in done]
    before = len(sample) - len(left)
    earlier = f" ({before} trained earlier)" if before else ""
    candidates = plural(len(sample), "candidate")
    log(f"Run {run.id} {run.name!r}: full training of {candidates}{earlier}.")
    if left:
        with store.lease(run.id) as lease, open_confirmer(run, plan, log) as executor:
            draw("full trainings", before, len(sample))
            for number, (attempt, found) in enumerate(confirm(left, executor, plan, lease), 1):
                log(confirmed_line(attempt, found))
                draw("full trainings", before + number, len(sample))
                done[attempt.id] = found
    return [(attempt, done[attempt.id]) for attempt in sample]


@contextmanager
def open_confirmer(run: RunRecord, plan: ConfirmationPlan, log: Log) -> Iterator[Executor]:
    """Open the executor that confirms networks, which judges on test images. Raises: UserError."""
    config = plan.config
    source = data_source(config)
    splits = load_splits(config, source, log)
    check_same_images(run, config, splits)
    config = config.model_copy(update={"evaluation": plan.evaluation(splits)})
    # Without the run's budgets: the candidates have kept to them once.
    task = make_task(config, source)
    task = replace(task, max_parameters=None, max_latency_ms=None, least_proxy={})
    judged = replace(splits, validation=splits.test)
    with open_executor(config, judged, task, log) as executor:
        log(
            f"Training: {splits.train.count:,} images of {splits.name}, "
            f"{plural(plan.epochs, 'epoch')}, "
            f"judged on {splits.test.count:,} test images; {executor.workers} at once"
        )
        yield executor


def confirm(
    attempts: Sequence[AttemptRecord], executor: Executor, plan: ConfirmationPlan, lease: Lease
) -> Iterator[tuple[AttemptRecord, Confirmation]]:
    """Confirm these attempts by parallel full trainings; store and yield each result when known.

    Raises: ExecutionError if the sandbox itself fails.
    """
    jobs = {n: partial(_train, attempt, executor, plan) for n, attempt in enumerate(attempts)}
    for number, confirmation in run_parallel(executor, jobs):
        lease.confirmed(confirmation)
        yield attempts[number], confirmation


def _train(attempt: AttemptRecord, executor: Executor, plan: ConfirmationPlan) -> Confirmation:
    """Train one attempt and return its result, or the reason for none."""
    candidate = attempt.candidate
    assert candidate is not None, "a trained attempt has code"
    repeat = (plan.repeat,) if plan.repeat else ()
    seed = derive_seed(plan.seed, "confirm", candidate.content_hash, *repeat)
    start = time.monotonic()
    outcome = executor.evaluate(candidate, seed)
    found = Confirmation(attempt.id, plan.protocol, seed, None, 0, (), time.monotonic() - start)
    if isinstance(outcome, Refusal):
        return replace(found, reason=f"{outcome.stage}: {outcome.reason}")
    epochs = tuple(epoch.accuracy for epoch in outcome.epochs)
    total, seconds = outcome.epochs[-1].total, outcome.seconds
    return replace(found, accuracy=epochs[-1], total=total, epochs=epochs, seconds=seconds)
