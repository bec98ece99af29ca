"""Means of grouped values with an interval from resampling whole groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MeanInterval = tuple[float, float, float]
"""A mean and the ends of its 95% interval."""

_RESAMPLES = 1000


def grouped_mean(values: NDArray[np.float64], groups: NDArray[np.int64]) -> MeanInterval:
    """Return the mean of `values` [n] with a 95% interval from resampling `groups` [n]."""
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    draws = np.random.default_rng(0).integers(len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
