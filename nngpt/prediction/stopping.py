"""Stopping a training that will not become good enough, and what that would have cost in LEMUR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.prediction import groups, targets
from nngpt.prediction.evaluation import crossed_estimates, share_of_groups
from nngpt.prediction.learned import FOLDS, Table
from nngpt.prediction.places import Place
from nngpt.prediction.predictor import Prediction, Predictor
from nngpt.prediction.runs import History
from nngpt.records import Candidate, Refusal, Stage, Task, derive_seed

TOP = 0.9
"""The replay looks for the best tenth of each place's runs."""


@dataclass(frozen=True)
class Replay:
    """What stopping would have saved and lost; shares with 95% intervals from whole families.

    Attributes:
        runs: of 50 epochs that were replayed.
        top: those that ended in the best tenth of their place.
        stopped: share of the runs that would have been stopped.
        saved: share of all epochs that would not have been trained.
        lost: share of the top that would have been stopped.
    """

    runs: int
    top: int
    stopped: tuple[float, float, float]
    saved: tuple[float, float, float]
    lost: tuple[float, float, float]


def replay(history: History, horizons: Sequence[int], progress: Callable[[str], None]) -> Replay:
    """Stop each run as soon as its ceiling is below what the best tenth of its place reaches.

    The ceiling comes from families other than the run's own, and so does what the best tenth
    reaches.
    """
    table = Table(history)
    names = groups.by_family(history.runs, history.codes)
    folds = groups.folds(names, FOLDS)
    best = targets.best(table.runs)
    wanted = np.zeros(len(best))
    top = np.zeros(len(best), dtype=bool)
    for place in range(len(table.places)):
        rows = table.place_numbers == place
        top[rows] = best[rows] >= np.quantile(best[rows], TOP)
        for fold in range(int(folds.max()) + 1):
            others = best[rows & (folds != fold)]
            wanted[rows & (folds == fold)] = np.quantile(others, TOP) if len(others) else 0.0
    trained = np.full(len(best), targets.EPOCHS)
    for epochs in sorted(set(horizons) - {0}):
        progress(f"after {epochs} epochs")
        ceiling = crossed_estimates(table, "best", best, epochs, folds).ceiling
        trained[(trained == targets.EPOCHS) & (ceiling < wanted)] = epochs
    stopped = trained < targets.EPOCHS
    numbers = np.unique(np.array(names), return_inverse=True)[1]
    return Replay(
        len(best),
        int(top.sum()),
        share_of_groups(stopped.astype(float), numbers),
        share_of_groups(1 - trained / targets.EPOCHS, numbers),
        share_of_groups(stopped[top].astype(float), numbers[top]),
    )


class Foresight:
    """Watches trainings of one task and stops those that cannot reach its threshold.

    Args:
        place: where they are judged.
        task: whose threshold must be reached.
        epochs: of a training.
        run_on: share of the candidates that is never stopped, chosen by chance, so that what
            stopping saves and loses can be told without bias.
    """

    def __init__(
        self, predictor: Predictor, place: Place, task: Task, epochs: int, run_on: float
    ) -> None:
        self._predictor, self._place = predictor, place
        self._threshold, self._epochs, self._run_on = task.threshold, epochs, run_on
        self._classes = task.out_shape[0]

    def watch(self, candidate: Candidate, seed: int) -> Watch:
        """What looks at one training after each epoch; the same seed spares the same ones."""
        drawn = np.random.default_rng(derive_seed(seed, "run on", candidate.content_hash))
        return Watch(self, candidate, bool(drawn.random() < self._run_on))

    def predict(self, candidate: Candidate, accuracies: Sequence[float]) -> Prediction:
        """What becomes of a candidate after these accuracies."""
        settings = {**candidate.hyperparameters, "batch": candidate.batch}
        return self._predictor.predict(
            candidate.code, self._place, settings, candidate.transform, accuracies, self._classes
        )

    def verdict(self, candidate: Candidate, accuracies: Sequence[float]) -> Verdict:
        """What is said of a training after these epochs, at least one."""
        found = self.predict(candidate, accuracies)
        if found.ceiling >= self._threshold:
            return Verdict(found.ceiling)
        best = found.accuracy
        return Verdict(
            found.ceiling,
            f"stopped after epoch {len(accuracies)} of {self._epochs}: {best.value:.1%} "
            f"[{best.low:.1%}, {best.high:.1%}] is expected within {targets.EPOCHS} epochs, "
            f"at most {found.ceiling:.1%}; "
            f"the threshold is {self._threshold:.1%}",
        )


@dataclass(frozen=True)
class Verdict:
    """What is said of a training.

    Attributes:
        ceiling: accuracy that it will hardly exceed, 0…1.
        stop: why it should be stopped, None if it should not.
    """

    ceiling: float
    stop: str | None = None


class Watch:
    """Looks at one training.

    Attributes:
        spared: it runs on whatever is expected of it.
        would_stop: why it would have been stopped, had it not been spared.
        ceiling: the lowest that was said, None before the first epoch.
    """

    def __init__(self, foresight: Foresight, candidate: Candidate, spared: bool) -> None:
        self._foresight, self._candidate = foresight, candidate
        self.spared = spared
        self.would_stop: str | None = None
        self.ceiling: float | None = None

    def look(self, accuracies: Sequence[float]) -> Refusal | None:
        """A refusal that ends the training after these epochs, None if it goes on."""
        if self.would_stop is not None or not accuracies:
            return None
        found = self._foresight.verdict(self._candidate, accuracies)
        self.ceiling = min(found.ceiling, 1.0 if self.ceiling is None else self.ceiling)
        if found.stop is None:
            return None
        if self.spared:
            self.would_stop = found.stop
            return None
        curve = ", ".join(f"{accuracy:.4f}" for accuracy in accuracies)
        return Refusal(Stage.THRESHOLD, found.stop, f"accuracies: {curve}")
