"""Models of final accuracy and stopping epoch, given a fixed number of first epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from nngpt.prediction import targets
from nngpt.prediction.arrays import Matrix, Numbers, Vector
from nngpt.prediction.boosting import Boosting, IntervalModel, PredictedRows, Regression, to_share

_EXACT = 1e-9

FAMILIAR = Boosting()
"""Settings for places that were learned from."""

STRANGE = Boosting(rounds=150, rate=0.05, leaves=15, smallest=100, shrinkage=10.0)
"""Settings for new places: coarser trees, since fine ones fit the peculiarities of a place."""

STOPPING = Boosting(rounds=200, rate=0.03, leaves=15, smallest=40)
"""Settings for the stopping epoch."""


@dataclass(frozen=True)
class Expert:
    """Predicts final accuracy and stopping epoch of runs with a fixed number of known epochs.

    Attributes:
        accuracy: model of the gain in accuracy (`targets.share_of_room`).
        stop: model of the stopping epoch, divided by `targets.EPOCHS`.
    """

    accuracy: IntervalModel
    stop: IntervalModel

    def predict(self, inputs: Matrix, so_far: Vector) -> tuple[PredictedRows, PredictedRows]:
        """Predict final accuracy, 0…1, and stopping epoch, 1 to `targets.EPOCHS`.

        Args:
            inputs: feature rows [n, features].
            so_far: best accuracy of the known epochs [n].
        """
        final, stop = self.shares(inputs, so_far)
        return final, _in_epochs(stop)

    def shares(self, inputs: Matrix, so_far: Vector) -> tuple[PredictedRows, PredictedRows]:
        """Predict like `predict`, with the stopping epoch divided by `targets.EPOCHS`."""
        final = self.accuracy.predict(inputs, partial(targets.accuracy, so_far=so_far))
        stop = self.stop.predict(inputs, to_share)
        return final.clipped(so_far, 1.0), stop.clipped(1 / targets.EPOCHS, 1.0)


def learn(
    inputs: Matrix,
    truth: Mapping[str, Vector],
    so_far: Vector,
    category: int | None,
    folds: Numbers,
) -> Expert:
    """Fit an expert; `truth` has `best` and `stop` of `targets`, the rest is as in `regression`."""
    names = ("best", "stop")
    return Expert(*(regression(n, inputs, truth[n], so_far, category, folds).fit() for n in names))


def regression(
    name: str,
    inputs: Matrix,
    truth: Vector,
    so_far: Vector,
    category: int | None,
    folds: Numbers,
) -> Regression:
    """Return an expert's regression of `best` or `stop` (see `targets`).

    Args:
        inputs: feature rows [n, features].
        truth: true values [n].
        so_far: best accuracy of the known epochs [n].
        category: column of `inputs` with the number of the place; None if there is none.
        folds: fold of each row [n].
    """
    if name == "stop":
        return Regression(STOPPING, inputs, truth, category, folds, to_share, truth)
    boosting = STRANGE if category is None else FAMILIAR
    wanted = targets.share_of_room(truth, so_far)
    restore = partial(targets.accuracy, so_far=so_far)
    return Regression(boosting, inputs, wanted, category, folds, restore, truth)


def _in_epochs(shares: PredictedRows) -> PredictedRows:
    """Convert shares of `targets.EPOCHS` to whole epochs, rounding the intervals outwards."""
    point, low, high, ceiling = (
        end * targets.EPOCHS for end in (shares.point, shares.low, shares.high, shares.ceiling)
    )
    outwards = (np.floor(low + _EXACT), np.ceil(high - _EXACT), np.ceil(ceiling - _EXACT))
    return PredictedRows(np.round(point), *outwards).clipped(1.0, float(targets.EPOCHS))
