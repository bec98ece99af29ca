"""How well a cheap score ranks: Kendall's τ-b between first-epoch and full accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST = 10
"""Below so many pairs there is no interval."""

_RESAMPLES = 2000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's τ-b of two scores of the same things.

    Attributes:
        tau: −1…1; None below two pairs, or where a score is the same for all.
        low: lower end of the 95% interval, None for too few pairs; `high` likewise.
        n: number of pairs.
    """

    tau: float | None
    low: float | None
    high: float | None
    n: int


def rank_agreement(first: Sequence[float], full: Sequence[float], seed: int = 0) -> RankAgreement:
    """Kendall's τ-b, with a percentile interval from resampled pairs.

    Args:
        first: one score of each thing.
        full: its other score, in the same order.
        seed: of the resampling; the same seed gives the same interval.

    Raises:
        ValueError: the scores are not of one length.
    """
    if len(first) != len(full):
        raise ValueError(f"{len(first)} first scores, {len(full)} full ones")
    n = len(first)
    one, other = _signs(first), _signs(full)
    tau = _taus(one, other, np.ones((1, n)))[0]
    if not np.isfinite(tau):
        return RankAgreement(None, None, None, n)
    if n < FEWEST:
        return RankAgreement(float(tau), None, None, n)
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
    low, high = np.nanpercentile(_taus(one, other, times.astype(np.float64)), (2.5, 97.5))
    return RankAgreement(float(tau), float(low), float(high), n)


def _signs(scores: Sequence[float]) -> Floats:
    """[n, n]: which of two is better: −1, 0 or 1."""
    values = np.asarray(scores, np.float64)
    return np.sign(values[:, None] - values[None, :])


def _taus(one: Floats, other: Floats, times: Floats) -> Floats:
    """τ-b of samples that hold each pair so many times [samples, n]; NaN where it has none."""
    together = _over_pairs(one * other, times)
    apart = _over_pairs(np.abs(one), times) * _over_pairs(np.abs(other), times)
    taus = np.full(len(times), np.nan)
    np.divide(together, np.sqrt(apart), out=taus, where=apart > 0)
    return taus


def _over_pairs(values: Floats, times: Floats) -> Floats:
    """Sum of `values` [n, n] over all pairs of each sample [samples]."""
    sums: Floats = ((times @ values) * times).sum(axis=1)
    return sums
