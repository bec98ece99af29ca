"""How diverse a set of networks is, beside the training corpus; read from code, nothing is run.

Kinds of layers and depth are counted in the source: a layer that a loop makes many times counts
once. The corpus is counted the same way, so ratios are fair where absolute numbers are low.

Intervals come from random halves drawn without replacement. Such a half of n varies about the whole
as the whole varies about its population, so the middle 95% of halves are a 95% interval. Drawing
with replacement (the usual bootstrap) would put copies into every draw, which are alike by
construction and bring no new kinds of layers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nngpt.novelty.shingles import shingles
from nngpt.reports.analysis.layers import layer_names
from nngpt.reports.analysis.novelty import Shingled, similarities
from nngpt.statistics import Estimate

Floats = npt.NDArray[np.float64]

_WEIGHTED = frozenset(
    {f"Conv{n}d" for n in (1, 2, 3)}
    | {f"ConvTranspose{n}d" for n in (1, 2, 3)}
    | {"Linear", "Bilinear", "MultiheadAttention", "RNN", "LSTM", "GRU", "LSTMCell", "GRUCell"}
    | {"TransformerEncoderLayer", "TransformerDecoderLayer", "Embedding"}
)
_DRAWS = 2000
_SEEDS = (1, 2)
_FEWEST = 10
"""Smallest number of networks for which an interval is given."""


@dataclass(frozen=True)
class NetworkShape:
    """The features of a compared network from which diversity is computed.

    Attributes:
        kinds: distinct kinds of layers; `LazyConv2d` is a `Conv2d`.
        depth: number of layers with weight matrices or kernels.
        shingles: runs of ten tokens, for similarity.
    """

    kinds: frozenset[str]
    depth: int
    shingles: frozenset[int]


@dataclass(frozen=True)
class BesideCorpus:
    """A diversity figure of an arm and of the corpus, and their ratio; None without a corpus."""

    arm: Estimate
    corpus: Estimate | None
    ratio: Estimate | None


def shape(code: str) -> NetworkShape:
    """Return an answer's kinds of layers, depth and shingles, which its diversity is made of."""
    try:
        names = layer_names(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = []
    layers = [name for name in names if name != "Identity"]
    depth = sum(layer in _WEIGHTED for layer in layers)
    return NetworkShape(frozenset(layers), depth, shingles(code))


def likeness(one: Sequence[NetworkShape], other: Sequence[NetworkShape]) -> Floats:
    """Return exact similarities [len(one), len(other)] of compared arms' networks, 0…1."""
    space = Shingled()
    rows = [space.rows(found.shingles for found in networks) for networks in (one, other)]
    found: Floats = similarities(*(space.matrix(each).astype(np.float64) for each in rows))
    return found


def beside_corpus(
    networks: Sequence[NetworkShape], corpus: Sequence[NetworkShape]
) -> dict[str, BesideCorpus]:
    """Return the diversity of an arm's networks beside that of the corpus, by figure."""
    one, other = (_Set(s, seed) for s, seed in zip((networks, corpus), _SEEDS, strict=True))
    figures: dict[str, tuple[_Figure, int]] = {  # with the fewest networks it is defined for
        "kinds of layers in a network": (lambda subsets, s: _mean(subsets, s.kinds.sum(axis=1)), 1),
        "depth, mean": (lambda subsets, s: _mean(subsets, s.depth), 1),
        "depth, standard deviation": (_depth_deviation, 2),
        "pairwise dissimilarity (1 − Jaccard)": (_dissimilarity, 2),
    }
    found = {
        name: _beside(one, other, figure)
        for name, (figure, least) in figures.items()
        if one.n >= least
    }
    common = min(one.n, other.n or one.n) // 2
    if common:
        found[f"kinds of layers in {common} networks"] = _rarefied(one, other, common)
    return found


class _Set:
    """Networks as arrays.

    Attributes:
        kinds: [n, kinds] 1 where a network uses a kind.
        depth: [n] number of layers with weights.
        unlike: [n, n] 1 minus the similarity, 0 on the diagonal.
    """

    def __init__(self, networks: Sequence[NetworkShape], seed: int) -> None:
        self._seed = seed
        self.n = len(networks)
        names = sorted({kind for found in networks for kind in found.kinds})
        self.kinds = np.array([[kind in n.kinds for kind in names] for n in networks], np.float64)
        self.kinds = self.kinds.reshape(self.n, len(names))
        self.depth = np.array([n.depth for n in networks], np.float64)
        self.unlike = 1 - likeness(networks, networks)
        np.fill_diagonal(self.unlike, 0)

    def subsets(self, size: int) -> Floats:
        """Return random subsets of `size` networks, without replacement, as 0 or 1 [draws, n]."""
        random = np.random.Generator(np.random.PCG64(self._seed))
        order = random.random((_DRAWS, self.n)).argsort(axis=1)
        return (order < size).astype(np.float64)


_Figure = Callable[[Floats, _Set], Floats]
"""A figure of subsets: indicators [draws, n] → values [draws]."""


def _beside(one: _Set, other: _Set, figure: _Figure) -> BesideCorpus:
    value = float(figure(np.ones((1, one.n)), one)[0])
    corpus = float(figure(np.ones((1, other.n)), other)[0]) if other.n > 1 else None
    draws = [figure(s.subsets(s.n // 2), s) if s.n >= _FEWEST else None for s in (one, other)]
    return _joined(one.n, value, draws[0], other.n, corpus, draws[1])


def _rarefied(one: _Set, other: _Set, size: int) -> BesideCorpus:
    """Count kinds in equally many networks of both: more networks would show more kinds."""
    corpus = _expected_kinds(other, size) if other.n else None
    draws = [
        ((s.subsets(size) @ s.kinds) > 0).sum(axis=1).astype(np.float64) if s.n >= _FEWEST else None
        for s in (one, other)
    ]
    return _joined(one.n, _expected_kinds(one, size), draws[0], other.n, corpus, draws[1])


def _joined(
    n: int,
    value: float,
    draws: Floats | None,
    corpus_n: int,
    corpus: float | None,
    corpus_draws: Floats | None,
) -> BesideCorpus:
    arm = _estimate(value, draws, n)
    if corpus is None:
        return BesideCorpus(arm, None, None)
    beside = _estimate(corpus, corpus_draws, corpus_n)
    if not corpus:
        return BesideCorpus(arm, beside, None)
    ratios = None
    if draws is not None and corpus_draws is not None and corpus_draws.all():
        ratios = draws / corpus_draws
    return BesideCorpus(arm, beside, _estimate(value / corpus, ratios, min(n, corpus_n)))


def _estimate(value: float, draws: Floats | None, count: int) -> Estimate:
    if draws is None:
        return Estimate(value, None, None, count)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high), count)


def _expected_kinds(networks: _Set, size: int) -> float:
    """Return the exact expected number of kinds in a random subset (Hurlbert's rarefaction)."""
    from scipy.stats import hypergeom

    users = networks.kinds.sum(axis=0)
    return float((1 - hypergeom.pmf(0, networks.n, users, size)).sum())


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


def _mean(subsets: Floats, values: Floats) -> Floats:
    means: Floats = subsets @ values / subsets.sum(axis=1)
    return means
