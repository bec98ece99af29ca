"""Replay early stopping on LEMUR: the epochs it would save and the best runs it would lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.prediction import groups, targets
from nngpt.prediction.arrays import Mask, Numbers, Vector
from nngpt.prediction.cross_validation import crossed_predictions
from nngpt.prediction.groups import MeanInterval, grouped_mean
from nngpt.prediction.predictor_training import FOLDS, RunTable
from nngpt.prediction.runs import History

TOP = 0.9
"""Quantile of the final accuracies in one place at or above which a run is one of its best."""


@dataclass(frozen=True)
class Replay:
    """Savings and losses of early stopping on recorded runs; 95% intervals over families.

    Attributes:
        runs: number of replayed runs, each of 50 epochs.
        top: number of runs that ended in the best tenth of their place.
        stopped: share of the runs that would have been stopped.
        saved: share of all epochs that would not have been trained.
        lost: share of the top runs that would have been stopped.
    """

    runs: int
    top: int
    stopped: MeanInterval
    saved: MeanInterval
    lost: MeanInterval


def replay(history: History, horizons: Sequence[int], progress: Callable[[str], None]) -> Replay:
    """Return what early stopping would have saved and lost on recorded runs.

    Each run is stopped at the first horizon where its ceiling is below its place's best tenth.

    Both the ceiling and the accuracy of the best tenth are computed from other folds, so from
    families of networks other than the run's own.
    """
    table = RunTable(history)
    names = groups.by_family(history.runs, history.codes)
    folds = groups.folds(names, FOLDS)
    best = targets.best(table.runs)
    wanted, top = _best_tenth(table, best, folds)
    trained = np.full(len(best), targets.EPOCHS)
    for epochs in sorted(set(horizons) - {0}):
        progress(f"after {targets.epoch_count(epochs)}")
        ceiling = crossed_predictions(table, "best", best, epochs, folds).ceiling
        trained[(trained == targets.EPOCHS) & (ceiling < wanted)] = epochs
    stopped = trained < targets.EPOCHS
    numbers = np.unique(np.array(names), return_inverse=True)[1]
    share_stopped = grouped_mean(stopped.astype(float), numbers)
    saved = grouped_mean(1 - trained / targets.EPOCHS, numbers)
    lost = grouped_mean(stopped[top].astype(float), numbers[top])
    return Replay(len(best), int(top.sum()), share_stopped, saved, lost)


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
