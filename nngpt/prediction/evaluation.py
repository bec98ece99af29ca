"""How good the predictor is on what it has not seen: splits, figures, baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nngpt.errors import UserError
from nngpt.prediction import expert, groups, targets
from nngpt.prediction.code import kind_of_network
from nngpt.prediction.expert import Estimate
from nngpt.prediction.learned import FOLDS, Table
from nngpt.prediction.runs import History

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Numbers = NDArray[np.int64]

_RESAMPLES = 1000
_FEW = 0.8


@dataclass(frozen=True)
class Figures:
    """How good one way of predicting is on one split, after `epochs` epochs.

    Attributes:
        split: `component`, `family`, `place` or `reference`; the tested groups were not seen.
        what: who predicts: `predictor`, `without code`, or a baseline.
        epochs: first epochs known.
        runs: predicted runs.
        groups: groups of the split among them.
        rmse: of the final accuracy, with a 95% interval from resampling groups.
        r: Pearson's correlation with the truth.
        r_within: the same after each place's means are taken off.
        by_place: runs and RMSE of each place.
        coverage: share of runs inside their 90% interval, with a 95% interval of groups; None for
            baselines.
        width: mean width of these intervals.
        few: share of groups of which less than 80% of runs are inside.
        stop_error: median distance of the stopping epoch.
        stop_coverage: share of runs whose stopping epoch is inside its 90% interval.
        stop_width: mean width of these intervals in epochs.
    """

    split: str
    what: str
    epochs: int
    runs: int
    groups: int
    rmse: tuple[float, float, float]
    r: float
    r_within: float
    by_place: Mapping[str, tuple[int, float]]
    coverage: tuple[float, float, float] | None = None
    width: float | None = None
    few: float | None = None
    stop_error: float | None = None
    stop_coverage: float | None = None
    stop_width: float | None = None


def evaluate(
    history: History,
    splits: Sequence[str],
    horizons: Sequence[int],
    progress: Callable[[str], None],
    with_code: bool = True,
    share: float = 1.0,
) -> Iterator[Figures]:
    """Figures of the predictor and of the baselines, split by split.

    The reference learns from all but the networks that `kind_of_network` calls `other`, and is
    tested on these; of the other splits every run is predicted, by trees that never saw its group,
    and its interval is calibrated on errors that were made in the same way on other groups
    (cross-conformal).

    Args:
        with_code: without it the features of the code are left out, and the baselines too.
        share: of the other groups, taken at random, from which the trees learn (for a learning
            curve); the tested runs stay the same.
    """
    table = Table(history, with_code)
    truth = {"best": targets.best(table.runs), "stop": targets.stop(table.runs)}
    what = "predictor" if with_code else "without code"
    for split in splits:
        names, tested = _groups(split, history), _tested(split, history)
        folds = groups.folds(names, len(set(names)) if split == "place" else FOLDS)
        learned = _sample(names, share)
        for epochs in horizons:
            progress(f"by {split}, after {epochs} epochs")
            so_far = targets.best_so_far(table.runs, epochs)
            if tested.all():
                with_place = split != "place"
                best, stop = (
                    crossed_estimates(table, n, truth[n], epochs, folds, with_place, learned)
                    for n in ("best", "stop")
                )
            else:
                best, stop = _apart(table, truth, epochs, folds, learned & ~tested, tested)
            rows = _Rows(split, epochs, names, table, tested)
            yield rows.figures(what, (best, stop), truth)
            if epochs and with_code:
                for name, points in _baselines(table, truth["best"], so_far, folds, tested, epochs):
                    yield rows.baseline(name, points, truth["best"])


def crossed_estimates(
    table: Table,
    name: str,
    truth: Vector,
    epochs: int,
    folds: Numbers,
    with_place: bool = True,
    learned: NDArray[np.bool_] | None = None,
) -> Estimate:
    """`best` or `stop` of every run after `epochs` epochs, by trees that never saw its fold."""
    inputs = table.inputs(epochs, with_place)
    so_far = targets.best_so_far(table.runs, epochs)
    category = inputs.shape[1] - 1 if with_place else None
    crossed = expert.crossed_for(name, inputs, truth, so_far, category, folds, learned)
    low = so_far if name == "best" else np.full(len(so_far), 1 / targets.EPOCHS)
    return expert.clipped(expert.intervals(crossed, truth, folds), low, 1.0)


def _apart(
    table: Table,
    truth: Mapping[str, Vector],
    epochs: int,
    folds: Numbers,
    learned: NDArray[np.bool_],
    asked: NDArray[np.bool_],
) -> tuple[Estimate, Estimate]:
    """Final accuracy and stopping epoch of the asked runs, learned from others."""
    inputs = table.inputs(epochs, with_place=True)
    so_far = targets.best_so_far(table.runs, epochs)
    known = {name: values[learned] for name, values in truth.items()}
    category = inputs.shape[1] - 1
    one = expert.learn(epochs, inputs[learned], known, so_far[learned], category, folds[learned])
    return one.shares(inputs[asked], so_far[asked])


def _sample(names: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Runs of a random share of the groups, the same ones every time."""
    known, numbers = np.unique(np.array(names), return_inverse=True)
    order = np.random.default_rng(0).permutation(len(known))
    kept: NDArray[np.bool_] = order < math.ceil(share * len(known))
    return kept[numbers]


def _groups(split: str, history: History) -> list[str]:
    if split == "family":
        return groups.by_family(history.runs, history.codes)
    if split == "place":
        return groups.by_place(history.runs)
    return groups.by_component(history.runs, history.codes)


def _tested(split: str, history: History) -> NDArray[np.bool_]:
    """Which runs are predicted: all of them, but for the reference's split."""
    if split != "reference":
        return np.ones(len(history.runs), dtype=bool)
    kinds = [kind_of_network(history.codes[r.network], r.place.task) for r in history.runs]
    tested = np.array([kind == "other" for kind in kinds])
    if not tested.any():
        raise UserError("none of these networks is in the reference's test part")
    return tested


def _baselines(
    table: Table,
    best: Vector,
    so_far: Vector,
    folds: Numbers,
    tested: NDArray[np.bool_],
    epochs: int,
) -> Iterator[tuple[str, Vector]]:
    """What needs no model, for the tested runs; NaN where it cannot say anything."""
    yield "last accuracy", np.array([run.accuracies[epochs - 1] for run in table.runs])[tested]
    gains, points = best - so_far, np.zeros(len(best))
    for row in np.flatnonzero(tested):
        others = ~tested if not tested.all() else folds != folds[row]
        same = others & (table.place_numbers == table.place_numbers[row])
        points[row] = so_far[row] + gains[same if same.any() else others].mean()
    yield "best so far + mean gain", np.clip(points, 0, 1)[tested]


class _Rows:
    """The tested runs of one split and horizon."""

    def __init__(
        self,
        split: str,
        epochs: int,
        names: Sequence[str],
        table: Table,
        tested: NDArray[np.bool_],
    ) -> None:
        self._places = table.places
        self._split, self._epochs, self._tested = split, epochs, tested
        self._group = np.unique(np.array(names)[tested], return_inverse=True)[1]
        self._place = table.place_numbers[tested]

    def baseline(self, what: str, points: Vector, best: Vector) -> Figures:
        """Figures of points for the tested runs; those that are NaN are left out."""
        return Figures(what=what, **self._common(points, best[self._tested]))

    def figures(
        self, what: str, found: tuple[Estimate, Estimate], truth: Mapping[str, Vector]
    ) -> Figures:
        """Figures of estimates for the tested runs."""
        best, stop = truth["best"][self._tested], truth["stop"][self._tested]
        final, epoch = found
        inside = _inside(final, best).astype(float)
        per_group = np.bincount(self._group, inside) / np.bincount(self._group)
        return Figures(
            what=what,
            **self._common(final.point, best),
            coverage=share_of_groups(inside, self._group),
            width=float((final.high - final.low).mean()),
            few=float((per_group < _FEW).mean()),
            stop_error=float(targets.EPOCHS * np.median(np.abs(epoch.point - stop))),
            stop_coverage=float(_inside(epoch, stop).mean()),
            stop_width=float(targets.EPOCHS * (epoch.high - epoch.low).mean()),
        )

    def _common(self, points: Vector, truth: Vector) -> dict[str, Any]:
        said = np.isfinite(points)
        points, truth, place = points[said], truth[said], self._place[said]
        squares = (points - truth) ** 2
        group = np.unique(self._group[said], return_inverse=True)[1]
        middle, low, high = share_of_groups(squares, group)
        return {
            "split": self._split,
            "epochs": self._epochs,
            "runs": len(points),
            "groups": int(group.max()) + 1,
            "rmse": (math.sqrt(middle), math.sqrt(low), math.sqrt(high)),
            "r": _r(points, truth),
            "r_within": _r(_centred(points, place), _centred(truth, place)),
            "by_place": {
                self._places[number]: (
                    int((place == number).sum()),
                    float(np.sqrt(squares[place == number].mean())),
                )
                for number in np.unique(place)
            },
        }


def share_of_groups(values: Vector, group: Numbers) -> tuple[float, float, float]:
    """The mean of values [n], with a 95% interval from resampling whole groups."""
    sums, counts = np.bincount(group, values), np.bincount(group)
    draws = np.random.default_rng(0).integers(len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def _inside(estimate: Estimate, truth: Vector) -> NDArray[np.bool_]:
    slack = 1e-9
    return (truth >= estimate.low - slack) & (truth <= estimate.high + slack)


def _centred(values: Vector, place: Numbers) -> Vector:
    return values - (np.bincount(place, values) / np.maximum(np.bincount(place), 1))[place]


def _r(one: Vector, other: Vector) -> float:
    if one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
