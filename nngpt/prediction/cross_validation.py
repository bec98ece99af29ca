"""Cross-validation of the predictor: its errors on unseen groups, and those of baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nngpt.errors import UserError
from nngpt.prediction import expert, groups, targets
from nngpt.prediction.arrays import Mask, Numbers, Vector
from nngpt.prediction.boosting import PredictedRows
from nngpt.prediction.code_features import kind_of_network
from nngpt.prediction.groups import MeanInterval, grouped_mean
from nngpt.prediction.predictor_training import FOLDS, RunTable
from nngpt.prediction.runs import History

_COVERED = 0.8
"""Share of a group's runs inside their intervals below which the group counts as `few`."""


@dataclass(frozen=True)
class PredictionErrors:
    """Cross-validated errors of one way to predict runs of which `epochs` epochs are known.

    Attributes:
        split: `component`, `family`, `place` or `reference`: groups that were not learned from.
        what: `predictor`, `without code`, or the name of a baseline.
        rmse: error of the final accuracy, with a 95% interval from resampling groups.
        r: Pearson correlation with the true final accuracy.
        r_within: the same after subtraction of each place's means.
        by_place: number of runs and RMSE of each place.
        coverage: share of runs inside their 90% interval, with a 95% interval from resampling
            groups; None for baselines, like all attributes below.
        width: mean width of the 90% intervals.
        few: share of groups with less than 80% of their runs inside.
        stop_error: median absolute error of the stopping epoch, in epochs.
        stop_coverage: share of runs whose stopping epoch is inside its 90% interval.
        stop_width: mean width of these intervals, in epochs.
    """

    split: str
    what: str
    epochs: int
    runs: int
    groups: int
    rmse: MeanInterval
    r: float
    r_within: float
    by_place: Mapping[str, tuple[int, float]]
    coverage: MeanInterval | None = None
    width: float | None = None
    few: float | None = None
    stop_error: float | None = None
    stop_coverage: float | None = None
    stop_width: float | None = None


def cross_validate(
    history: History,
    splits: Sequence[str],
    horizons: Sequence[int],
    progress: Callable[[str], None],
    with_code: bool = True,
    share: float = 1.0,
) -> Iterator[PredictionErrors]:
    """Yield cross-validated errors of the predictor and of the baselines, split by split.

    On `reference`, the predictor learns from all networks but those that `kind_of_network` calls
    `other`, and is tested on these. On the other splits every run is predicted by trees that did
    not learn from its group, with an interval calibrated on the errors of other groups
    (cross-conformal).

    Args:
        horizons: numbers of known epochs.
        with_code: False to ignore the features of the code, and the baselines.
        share: share of the other groups, sampled, that the trees learn from (for learning curves);
            the tested runs stay the same.

    Raises: UserError if nothing is left to learn from or to test on.
    """
    table = RunTable(history, with_code)
    truth = {"best": targets.best(table.runs), "stop": targets.stop(table.runs)}
    what = "predictor" if with_code else "without code"
    for split in splits:
        names, tested = _groups(split, history), _tested(split, history)
        folds = groups.folds(names, len(set(names)) if split == "place" else FOLDS)
        learned = _sample(names, share)
        for epochs in horizons:
            progress(f"by {split}, after {targets.epoch_count(epochs)}")
            if tested.all():
                known = split != "place"
                final, stop = (
                    crossed_predictions(table, name, values, epochs, folds, known, learned)
                    for name, values in truth.items()
                )
            else:
                final, stop = _held_out(table, truth, epochs, folds, learned & ~tested, tested)
            rows = _TestedRows(names, table, truth, tested)
            yield rows.errors(split, what, epochs, final, stop)
            if epochs and with_code:
                for name, points in _baselines(table, truth["best"], folds, tested, epochs):
                    yield rows.point_errors(split, name, epochs, points)


def crossed_predictions(
    table: RunTable,
    name: str,
    truth: Vector,
    epochs: int,
    folds: Numbers,
    with_place: bool = True,
    learned: Mask | None = None,
) -> PredictedRows:
    """Cross-predict `best` or `stop` of every run, by trees that did not learn from its fold.

    Args:
        epochs: number of known epochs.
        with_place: False to predict every run as if its place were new.
        learned: runs that may be learned from; None for all.
    """
    inputs = table.inputs(epochs, with_place)
    so_far = targets.best_so_far(table.runs, epochs)
    category = inputs.shape[1] - 1 if with_place else None
    regression = expert.regression(name, inputs, truth, so_far, category, folds)
    low = so_far if name == "best" else 1 / targets.EPOCHS
    return regression.cross_intervals(learned).clipped(low, 1.0)


def _held_out(
    table: RunTable,
    truth: Mapping[str, Vector],
    epochs: int,
    folds: Numbers,
    learned: Mask,
    tested: Mask,
) -> tuple[PredictedRows, PredictedRows]:
    """Predict final accuracy and stopping epoch of the tested runs by an expert of the learned."""
    inputs = table.inputs(epochs, with_place=True)
    so_far = targets.best_so_far(table.runs, epochs)
    known = {name: values[learned] for name, values in truth.items()}
    category = inputs.shape[1] - 1
    fitted = expert.learn(inputs[learned], known, so_far[learned], category, folds[learned])
    return fitted.shares(inputs[tested], so_far[tested])


def _sample(names: Sequence[str], share: float) -> Mask:
    """Select the runs of a random share of the groups, the same in every call."""
    known, numbers = np.unique(np.array(names), return_inverse=True)
    order = np.random.default_rng(0).permutation(len(known))
    kept: Mask = order < math.ceil(share * len(known))
    return kept[numbers]


def _groups(split: str, history: History) -> list[str]:
    if split == "family":
        return groups.by_family(history.runs, history.codes)
    if split == "place":
        return [str(run.place) for run in history.runs]
    return groups.by_component(history.runs, history.codes)


def _tested(split: str, history: History) -> Mask:
    """Select the runs to be predicted: all of them, except on `reference`."""
    if split != "reference":
        return np.ones(len(history.runs), dtype=bool)
    kinds = [kind_of_network(history.codes[r.network], r.place.task) for r in history.runs]
    tested = np.array([kind == "other" for kind in kinds])
    if not tested.any():
        raise UserError("no network is in the test part of the split 'reference'")
    return tested


def _baselines(
    table: RunTable, best: Vector, folds: Numbers, tested: Mask, epochs: int
) -> Iterator[tuple[str, Vector]]:
    """Yield the names and predictions of the baselines for the tested runs; NaN if unknown."""
    yield "last accuracy", np.array([run.accuracies[epochs - 1] for run in table.runs])[tested]
    so_far = targets.best_so_far(table.runs, epochs)
    gains, points = best - so_far, np.zeros(len(best))
    for row in np.flatnonzero(tested):
        others = ~tested if not tested.all() else folds != folds[row]
        same = others & (table.place_numbers == table.place_numbers[row])
        points[row] = so_far[row] + gains[same if same.any() else others].mean()
    yield "best so far + mean gain", np.clip(points, 0, 1)[tested]


class _TestedRows:
    """The tested runs of one split, with their true values."""

    def __init__(
        self, names: Sequence[str], table: RunTable, truth: Mapping[str, Vector], tested: Mask
    ) -> None:
        self._places = table.places
        self._group = np.unique(np.array(names)[tested], return_inverse=True)[1]
        self._place = table.place_numbers[tested]
        self._best, self._stop = truth["best"][tested], truth["stop"][tested]

    def point_errors(
        self, split: str, what: str, epochs: int, points: Vector, **more: Any
    ) -> PredictionErrors:
        """Return the errors of predicted final accuracies; NaN predictions are ignored."""
        known = np.isfinite(points)
        points, truth, place = points[known], self._best[known], self._place[known]
        squares = (points - truth) ** 2
        group = np.unique(self._group[known], return_inverse=True)[1]
        middle, low, high = grouped_mean(squares, group)
        by_place = {}
        for number in np.unique(place):
            own = squares[place == number]
            by_place[self._places[number]] = (len(own), float(np.sqrt(own.mean())))
        return PredictionErrors(
            *(split, what, epochs),
            runs=len(points),
            groups=int(group.max()) + 1,
            rmse=(math.sqrt(middle), low and math.sqrt(low), high and math.sqrt(high)),
            r=_correlation(points, truth),
            r_within=_correlation(_centred(points, place), _centred(truth, place)),
            by_place=by_place,
            **more,
        )

    def errors(
        self, split: str, what: str, epochs: int, final: PredictedRows, stop: PredictedRows
    ) -> PredictionErrors:
        """Return the errors of predicted final accuracies and stopping epochs with intervals."""
        inside = _inside(final, self._best).astype(float)
        per_group = np.bincount(self._group, inside) / np.bincount(self._group)
        return self.point_errors(
            *(split, what, epochs, final.point),
            coverage=grouped_mean(inside, self._group),
            width=float((final.high - final.low).mean()),
            few=float((per_group < _COVERED).mean()),
            stop_error=float(targets.EPOCHS * np.median(np.abs(stop.point - self._stop))),
            stop_coverage=float(_inside(stop, self._stop).mean()),
            stop_width=float(targets.EPOCHS * (stop.high - stop.low).mean()),
        )


def _inside(predicted: PredictedRows, truth: Vector) -> Mask:
    slack = 1e-9
    return (truth >= predicted.low - slack) & (truth <= predicted.high + slack)


def _centred(values: Vector, place: Numbers) -> Vector:
    """Subtract the mean of each place."""
    return values - (np.bincount(place, values) / np.maximum(np.bincount(place), 1))[place]


def _correlation(one: Vector, other: Vector) -> float:
    if one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
