"""What is predicted of a run, and in which form the trees learn it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.prediction.runs import Run

Vector = NDArray[np.float64]

EPOCHS = 50
"""Final means: within so many epochs, which is what nearly all of LEMUR's long runs have."""

NEAR_BEST = 0.01
"""A run may stop at the first epoch within so much accuracy of its best."""

_LEAST_ROOM = 0.02


def best(runs: Sequence[Run]) -> Vector:
    """The highest accuracy within `EPOCHS` of each run, 0…1."""
    return np.array([np.nanmax(run.accuracies[:EPOCHS]) for run in runs])


def stop(runs: Sequence[Run]) -> Vector:
    """The first epoch of each run within `NEAR_BEST` of its best, as a share of `EPOCHS`."""
    curves = [np.array(run.accuracies[:EPOCHS]) for run in runs]
    first = [int(np.argmax(curve >= np.nanmax(curve) - NEAR_BEST)) + 1 for curve in curves]
    return np.array(first) / EPOCHS


def best_so_far(runs: Sequence[Run], epochs: int) -> Vector:
    """The highest accuracy of the first epochs of each run; 0 before the first."""
    if not epochs:
        return np.zeros(len(runs))
    return np.array([np.nanmax(run.accuracies[:epochs]) for run in runs])


def share_of_room(accuracy: Vector, so_far: Vector) -> Vector:
    """How much of what is left up to 100% a run still gains.

    Trees learn it better than the accuracy itself: RMSE 0.0902 against 0.0917 by component.
    """
    return (accuracy - so_far) / np.maximum(1 - so_far, _LEAST_ROOM)


def accuracy(share: Vector, so_far: Vector) -> Vector:
    """The inverse of `share_of_room`; a best accuracy is never below the best so far."""
    return np.clip(so_far + share * np.maximum(1 - so_far, _LEAST_ROOM), so_far, 1)
