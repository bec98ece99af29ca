"""How spread out a set of networks is, beside the training corpus, with intervals.

Intervals come from random halves drawn without repetition. Such a half of n varies about the whole
as the whole varies about what it was drawn from, so the middle 95% of halves are a 95% interval.
Drawing with repetition (the usual bootstrap) would not do: it puts copies into every draw, which
are alike by construction and bring no new kinds of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.finetuning.compare.diversity import Floats, Network, likeness

_DRAWS = 2000
_SEEDS = (1, 2)
_FEWEST = 10


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval, None below ten networks."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Compared:
    """A figure of an arm and of the corpus, and their ratio; None where there is no corpus."""

    arm: Estimate
    corpus: Estimate | None
    ratio: Estimate | None


Figure = Callable[[Floats, "_Set"], Floats]
"""A figure of subsets: indicators [draws, n] → values [draws]."""


class _Set:
    """Networks as arrays.

    Attributes:
        kinds: [n, kinds] 1 where a network uses a kind.
        depth: [n] layers with weights.
        unlike: [n, n] one less the similarity, 0 on the diagonal.
    """

    def __init__(self, networks: Sequence[Network], seed: int) -> None:
        self._seed = seed
        self.n = len(networks)
        names = sorted({kind for found in networks for kind in found.kinds})
        self.kinds = np.array([[kind in n.kinds for kind in names] for n in networks], np.float64)
        self.kinds = self.kinds.reshape(self.n, len(names))
        self.depth = np.array([n.depth for n in networks], np.float64)
        self.unlike = 1 - likeness(networks, networks)
        np.fill_diagonal(self.unlike, 0)

    def subsets(self, size: int) -> Floats:
        """Random subsets of `size` networks, without repetition, as indicators [draws, n]."""
        random = np.random.Generator(np.random.PCG64(self._seed))
        order = random.random((_DRAWS, self.n)).argsort(axis=1)
        return (order < size).astype(np.float64)


def compared(networks: Sequence[Network], corpus: Sequence[Network]) -> dict[str, Compared]:
    """The figures of an arm's networks beside those of the corpus, by name."""
    one, other = (_Set(s, seed) for s, seed in zip((networks, corpus), _SEEDS, strict=True))
    figures: dict[str, tuple[Figure, int]] = {
        "kinds of layers in a network": (_kinds_each, 1),
        "depth, mean": (_depth_mean, 1),
        "depth, standard deviation": (_depth_deviation, 2),
        "pairwise dissimilarity (1 − Jaccard)": (_dissimilarity, 2),
    }
    found = {
        name: _compared(one, other, figure)
        for name, (figure, least) in figures.items()
        if one.n >= least
    }
    common = min(one.n, other.n or one.n) // 2
    if common:
        found[f"kinds of layers in {common} networks"] = _rarefied(one, other, common)
    return found


def _compared(one: _Set, other: _Set, figure: Figure) -> Compared:
    values = [float(figure(np.ones((1, s.n)), s)[0]) if s.n > 1 else None for s in (one, other)]
    draws = [figure(s.subsets(s.n // 2), s) if s.n >= _FEWEST else None for s in (one, other)]
    first = values[0] if values[0] is not None else float(figure(np.ones((1, one.n)), one)[0])
    return _joined(first, values[1], draws[0], draws[1])


def _rarefied(one: _Set, other: _Set, size: int) -> Compared:
    """Kinds in equally many networks of both: more networks would always show more kinds."""
    draws = [_kinds_of_all(s.subsets(size), s) if s.n >= _FEWEST else None for s in (one, other)]
    second = _expected_kinds(other, size) if other.n else None
    return _joined(_expected_kinds(one, size), second, draws[0], draws[1])


def _joined(
    value: float, corpus: float | None, draws: Floats | None, corpus_draws: Floats | None
) -> Compared:
    ratio = None
    if corpus:
        both = draws is not None and corpus_draws is not None and bool(corpus_draws.all())
        ratios = draws / corpus_draws if both else None  # type: ignore[operator]
        ratio = Estimate(value / corpus, _middle(ratios))
    beside = None if corpus is None else Estimate(corpus, _middle(corpus_draws))
    return Compared(Estimate(value, _middle(draws)), beside, ratio)


def _middle(draws: Floats | None) -> tuple[float, float] | None:
    if draws is None:
        return None
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _expected_kinds(networks: _Set, size: int) -> float:
    """Kinds to expect in a random subset (Hurlbert's rarefaction), exactly."""
    from scipy.stats import hypergeom

    users = networks.kinds.sum(axis=0)
    return float((1 - hypergeom.pmf(0, networks.n, users, size)).sum())


def _kinds_each(subsets: Floats, networks: _Set) -> Floats:
    counts: Floats = networks.kinds.sum(axis=1)
    return _mean(subsets, counts)


def _depth_mean(subsets: Floats, networks: _Set) -> Floats:
    return _mean(subsets, networks.depth)


def _depth_deviation(subsets: Floats, networks: _Set) -> Floats:
    size = subsets.sum(axis=1)
    centred = networks.depth - networks.depth.mean()
    variance = _mean(subsets, centred**2) - _mean(subsets, centred) ** 2
    deviation: Floats = np.sqrt(np.maximum(variance, 0) * size / (size - 1))
    return deviation


def _dissimilarity(subsets: Floats, networks: _Set) -> Floats:
    size = subsets.sum(axis=1)
    total = ((subsets @ networks.unlike) * subsets).sum(axis=1)
    means: Floats = total / (size * (size - 1))
    return means


def _kinds_of_all(subsets: Floats, networks: _Set) -> Floats:
    found: Floats = ((subsets @ networks.kinds) > 0).sum(axis=1).astype(np.float64)
    return found


def _mean(subsets: Floats, values: Floats) -> Floats:
    means: Floats = subsets @ values / subsets.sum(axis=1)
    return means
