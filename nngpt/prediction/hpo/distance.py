"""Distances between recorded trials and given settings, and the median of the best trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nngpt.data.transform_names import dashed
from nngpt.prediction.hpo.pools import Pool
from nngpt.prediction.hpo.search_space import DEFAULT
from nngpt.prediction.hpo.trial_features import NAMES

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Settings = Mapping[str, int | float | str]

_AXES = ("log_lr", "momentum", "log_batch")
_SCALES = np.array([1.0, 0.3, 0.6])


def distance_to_default(inputs: Matrix) -> Vector:
    """Return the distance of feature rows [n, len(NAMES)] to `DEFAULT` [n]."""
    axes = inputs[:, [NAMES.index(name) for name in _AXES]]
    return _distances(axes, _axes(DEFAULT))


def distance(pool: Pool, settings: Settings, transform: str | None = None) -> Vector:
    """Return the distance of a pool's trials to settings [n], in decades of learning rate; a
    different transform adds 1."""
    apart = _distances(np.array([_axes(run.hyperparameters) for run in pool.runs]), _axes(settings))
    if transform is None:
        return apart
    other = [dashed(run.transform or "") != transform for run in pool.runs]
    found: Vector = apart + np.array(other)
    return found


def median_of_best(known: Sequence[Pool]) -> dict[str, float]:
    """Return the median of the best trials of pools, for each setting by itself."""
    best = [pool.runs[int(pool.accuracies.argmax())].hyperparameters for pool in known]
    axes = np.array([_axes(settings) for settings in best]).T
    lr, momentum, batch = (_median(axis) for axis in axes)
    return {"lr": 10**lr, "momentum": momentum, "batch": 10**batch}


def _median(axis: Vector) -> float:
    """Return the median of the finite values; NaN if there are none."""
    known = axis[np.isfinite(axis)]
    return float(np.median(known)) if len(known) else math.nan


def _axes(settings: Settings) -> Vector:
    lr, momentum, batch = (settings.get(name) for name in ("lr", "momentum", "batch"))
    return np.array(
        [
            math.log10(lr) if isinstance(lr, int | float) and lr > 0 else math.nan,
            float(momentum) if isinstance(momentum, int | float) else math.nan,
            math.log10(batch) if isinstance(batch, int | float) and batch > 0 else math.nan,
        ]
    )


def _distances(axes: Matrix, to: Vector) -> Vector:
    """Return scaled Euclidean distances [n]; missing values count as equal."""
    apart = np.nan_to_num((axes - to) / _SCALES)
    found: Vector = np.sqrt((apart**2).sum(axis=1))
    return found
