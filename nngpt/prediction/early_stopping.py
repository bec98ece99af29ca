"""Early stopping: end trainings with a low predicted ceiling, check that, replay it on LEMUR."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nngpt.prediction import groups, targets
from nngpt.prediction.arrays import Mask, Numbers, Vector
from nngpt.prediction.cross_validation import crossed_predictions
from nngpt.prediction.groups import MeanInterval, grouped_mean
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.places import Place, facts_of, place_of
from nngpt.prediction.predictor import Prediction, Predictor, default_path
from nngpt.prediction.predictor_training import FOLDS, RunTable
from nngpt.prediction.runs import History
from nngpt.protocols import Log, Verdict
from nngpt.records import Candidate, Evaluation, Refusal, Stage, Task, derive_seed
from nngpt.statistics import percent_of, wilson

if TYPE_CHECKING:
    from nngpt.config import Config

TOLERATED = 0.02
"""Share of exceeded ceilings above which early stopping is off; 0.5% is what a ceiling promises."""

TOP = 0.9
"""Quantile of the final accuracies in one place at or above which a run is one of its best."""


class ThresholdPruner:
    """Stops trainings that are not expected to reach the admission threshold (a `Pruner`).

    Args:
        place: data set and metric of the accuracies.
        task: task with the threshold to be reached.
        epochs: number of epochs of a training.
        run_on: share of the candidates that are exempt from stopping, chosen at random, so that
            savings and losses can be estimated without bias.
    """

    def __init__(
        self, predictor: Predictor, place: Place, task: Task, epochs: int, run_on: float
    ) -> None:
        self._predictor, self._place = predictor, place
        self._threshold, self._epochs, self._run_on = task.threshold, epochs, run_on
        self._facts = facts_of(task)
        self._active = True

    def should_stop(self, candidate: Candidate, seed: int, accuracies: Sequence[float]) -> Verdict:
        """Predict the training after its first epochs and compare its ceiling to the threshold."""
        if not accuracies or not self._active:
            return Verdict()
        settings = {**candidate.hyperparameters, "batch": candidate.batch}
        known = (self._place, settings, candidate.transform, accuracies, self._facts)
        found = self._predictor.predict(candidate.code, *known)
        if found.ceiling >= self._threshold:
            return Verdict(ceiling=found.ceiling)
        reason = self._reason(found, len(accuracies))
        if self.is_exempt(candidate, seed):
            return Verdict(would_stop=reason, ceiling=found.ceiling)
        curve = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        refusal = Refusal(Stage.THRESHOLD, reason, f"accuracies: {curve}")
        return Verdict(refusal, ceiling=found.ceiling)

    def is_exempt(self, candidate: Candidate, seed: int) -> bool:
        """Return True if this training is never stopped; the same for the same seed."""
        drawn = np.random.default_rng(derive_seed(seed, "run on", candidate.content_hash))
        return bool(drawn.random() < self._run_on)

    def validate(self, evaluations: Iterable[Evaluation]) -> str:
        """Compare ceilings with the accuracies reached; stop nothing from now on if too many broke.

        The result is a line for the user, "" if no evaluation has a ceiling.
        """
        found = validation(evaluations, self._threshold)
        self._active = found.reliable
        return found.line + ("" if found.reliable else "; switched off from here on")

    def _reason(self, found: Prediction, epochs: int) -> str:
        best = found.accuracy
        return (
            f"stopped after epoch {epochs} of {self._epochs}: {best.value:.1%} "
            f"[{best.low:.1%}, {best.high:.1%}] is expected within {targets.EPOCHS} epochs, "
            f"at most {found.ceiling:.1%}; the threshold is {self._threshold:.1%}"
        )


@dataclass(frozen=True)
class Validation:
    """Counts for the validation of early stopping, over trainings that ran to their end.

    Attributes:
        checked: trainings with a predicted ceiling.
        broken: checked trainings whose accuracy is above the ceiling by more than sampling error.
        exempt: trainings that ran on although they would have been stopped.
        lost: exempt trainings that reached the threshold.
    """

    checked: int
    broken: int
    exempt: int
    lost: int

    @property
    def reliable(self) -> bool:
        """False once more than the tolerated share of ceilings is broken, with 95% confidence."""
        return wilson(self.broken, self.checked)[0] <= TOLERATED if self.checked else True

    @property
    def line(self) -> str:
        """Summary for the user, with intervals; "" if nothing was checked."""
        if not self.checked:
            return ""
        held = percent_of(self.checked - self.broken, self.checked)
        exempt = percent_of(self.lost, self.exempt)
        return f"ceilings held in {held}; of those that ran on, {exempt} reached the threshold"


def validation(evaluations: Iterable[Evaluation], threshold: float) -> Validation:
    """Count early stopping's broken ceilings and lost networks; skip trainings without ceiling."""
    checked = broken = exempt = lost = 0
    for evaluation in evaluations:
        protocol = json.loads(evaluation.protocol)
        if "ceiling" not in protocol:
            continue
        checked += 1
        reached = max(wilson(epoch.correct, epoch.total)[0] for epoch in evaluation.epochs)
        broken += reached > protocol["ceiling"]
        if "would_stop" in protocol:
            exempt += 1
            lost += evaluation.accuracy >= threshold
    return Validation(checked, broken, exempt, lost)


def load_pruner(config: Config, task: Task, log: Log) -> ThresholdPruner:
    """Load the predictor for early stopping as a pruner. Raises: UserError."""
    evaluation = config.evaluation
    predictor = Predictor(evaluation.predictor or file_to_use(default_path()))
    log(f"Stopping early: {predictor.origin}, {evaluation.run_on:.0%} run on")
    if config.task.train_limit is not None:
        log("  the predictor learned from whole data sets: task.train_limit makes it pessimistic")
    return ThresholdPruner(predictor, place_of(task), task, evaluation.epochs, evaluation.run_on)


RULES = {
    "ceiling": "accuracy that 99.5% of such runs do not exceed",
    "high": "upper end of the 90% interval",
    "point": "expected accuracy, without any interval",
}
"""What a replay compares with the best tenth; early stopping itself uses the ceiling."""


@dataclass(frozen=True)
class Replay:
    """Savings and losses of early stopping on recorded runs; 95% intervals over families.

    Attributes:
        rule: the prediction that is compared, one of `RULES`.
        runs: number of replayed runs, each of 50 epochs.
        top: number of runs that ended in the best tenth of their place.
        stopped: share of the runs that would have been stopped.
        saved: share of all epochs that would not have been trained.
        lost: share of the top runs that would have been stopped.
    """

    rule: str
    runs: int
    top: int
    stopped: MeanInterval
    saved: MeanInterval
    lost: MeanInterval


def replay(
    history: History, horizons: Sequence[int], progress: Callable[[str], None]
) -> list[Replay]:
    """Return what early stopping would have saved and lost on recorded runs, for each rule.

    Each run is stopped at the first horizon where its ceiling, or what another rule compares, is
    below its place's best tenth. The predictions and the accuracy of the best tenth are computed
    from other folds, so from families of networks other than the run's own.
    """
    table = RunTable(history)
    names = groups.by_family(history.runs, history.codes)
    folds = groups.folds(names, FOLDS)
    best = targets.best(table.runs)
    wanted, top = _best_tenth(table, best, folds)
    trained = {rule: np.full(len(best), targets.EPOCHS) for rule in RULES}
    for epochs in sorted(set(horizons) - {0}):
        progress(f"after {targets.epoch_count(epochs)}")
        predicted = crossed_predictions(table, "best", best, epochs, folds)
        for rule, end in trained.items():
            end[(end == targets.EPOCHS) & (getattr(predicted, rule) < wanted)] = epochs
    numbers = np.unique(np.array(names), return_inverse=True)[1]
    return [_outcome(rule, end, top, numbers) for rule, end in trained.items()]


def _outcome(rule: str, trained: Numbers, top: Mask, families: Numbers) -> Replay:
    """Count what a rule saved and lost, from the number of epochs that each run trained [n]."""
    stopped = trained < targets.EPOCHS
    return Replay(
        rule=rule,
        runs=len(trained),
        top=int(top.sum()),
        stopped=grouped_mean(stopped.astype(float), families),
        saved=grouped_mean(1 - trained / targets.EPOCHS, families),
        lost=grouped_mean(stopped[top].astype(float), families[top]),
    )


def _best_tenth(table: RunTable, best: Vector, folds: Numbers) -> tuple[Vector, Mask]:
    """Return the accuracy of each run's best tenth (of its place), and if the run is in it."""
    wanted = np.zeros(len(best))
    top = np.zeros(len(best), dtype=bool)
    for place in range(len(table.places)):
        rows = table.place_numbers == place
        top[rows] = best[rows] >= np.quantile(best[rows], TOP)
        for fold in range(int(folds.max()) + 1):
            others = best[rows & (folds != fold)]
            wanted[rows & (folds == fold)] = np.quantile(others, TOP) if len(others) else 0.0
    return wanted, top
