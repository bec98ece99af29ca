"""Choose answers by what a Gaussian process expects of them, from the LLM's view of their texts.

Each text is a vector of the bare LLM's hidden states. The process learns how the vectors of the
answers tried so far relate to the ranks of their accuracies, and the answers with the highest upper
confidence bound come first (N. Srinivas et al., Gaussian Process Optimization in the Bandit
Setting, ICML 2010): those that should be good, and unlike ones, of which less is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

NOISE = 0.3
"""Variance of a training's rank around what its text tells; that of all ranks is 1."""

CURIOSITY = 0.5
"""Standard deviations that the bound lies above the expected rank."""


@dataclass(frozen=True)
class Try:
    """An answer that was tried.

    Attributes:
        answer: the whole answer.
        accuracy: what it reached (0…1); None if it does not run.
    """

    answer: str
    accuracy: float | None


def promise(tried: Matrix, tries: Sequence[Try], asked: Matrix) -> Vector:
    """Return how promising answers are [m]: the upper bound of each one's scaled rank.

    Args:
        tried: vectors of the tries [n, d].
        asked: vectors of the answers [m, d].
    """
    targets = _ranks([-1.0 if t.accuracy is None else t.accuracy for t in tries])
    expected, unknown = posterior(tried, targets, asked)
    bound: Vector = expected + CURIOSITY * unknown
    return bound


def posterior(tried: Matrix, targets: Vector, asked: Matrix) -> tuple[Vector, Vector]:
    """Return what the process expects of answers [m], and the standard deviations [m] of that.

    Args:
        tried: vectors of the tries [n, d].
        targets: a value of each try [n]; all together have mean 0 and variance 1.
        asked: vectors of the answers [m, d].
    """
    from scipy.spatial.distance import cdist

    known, others = _standardised(tried, asked)
    apart = cdist(known, known, "sqeuclidean")
    width = float(np.median(apart)) or 1.0
    alike = np.exp(-apart / width) + NOISE * np.eye(len(known))
    near = np.exp(-cdist(others, known, "sqeuclidean") / width)
    weights = np.linalg.solve(alike, near.T)
    unknown: Vector = np.sqrt(np.maximum(1 - (near * weights.T).sum(1), 0))
    return targets @ weights, unknown


def _ranks(values: Sequence[float]) -> Vector:
    """Return the ranks of values, scaled to mean 0 and variance 1; equal values share one."""
    from scipy.stats import rankdata

    ranks: Vector = rankdata(values)
    centred: Vector = ranks - ranks.mean()
    return centred / (centred.std() or 1.0)


def _standardised(known: Matrix, others: Matrix) -> tuple[Matrix, Matrix]:
    """Scale each dimension to mean 0 and variance 1 among the known vectors."""
    mean, spread = known.mean(0), known.std(0)
    spread[spread < 1e-6 * (spread.max() or 1.0)] = np.inf
    return (known - mean) / spread, (others - mean) / spread
