"""Kinds, depth and similarity of code, and the intervals of a set's diversity."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from comparison_samples import layers

from nngpt.novelty.shingles import jaccard, shingles
from nngpt.reports.comparison.diversity import NetworkShape, beside_corpus, likeness, shape

WHOLE = """
import torch
import torch.nn as nn
from torch.nn import Dropout, GELU as Act

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(width, width, 3), torch.nn.LazyBatchNorm2d())
        self.drop = Dropout(0.1)
        self.skip = nn.Identity()

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.blocks = nn.ModuleList([Block(8) for _ in range(4)])
        self.head = nn.LazyLinear(10)
        self.scale = nn.Parameter(torch.ones(1))

    def train_setup(self, prm):
        self.criterion = nn.CrossEntropyLoss()
"""


def test_kinds_and_depth_of_a_whole_network() -> None:
    found = shape(WHOLE)
    assert found.kinds == {"Conv2d", "BatchNorm2d", "Dropout", "Linear"}
    assert found.depth == 2, "a layer that a loop makes counts once"


def test_lazy_layers_are_the_same_kinds() -> None:
    lazy, plain = shape(layers(8, 16)), shape(layers(8, 16).replace("Lazy", ""))
    assert (lazy.kinds, lazy.depth) == (plain.kinds, plain.depth) == ({"Conv2d", "ReLU"}, 2)


def test_what_is_no_code_has_no_layers() -> None:
    assert shape("nn.Conv2d(").kinds == frozenset() and shape("").depth == 0


def test_likeness_is_the_exact_jaccard_similarity() -> None:
    codes = [layers(8), layers(8, 16, 32), layers(8, activation="GELU"), WHOLE, ""]
    networks = [shape(code) for code in codes]
    expected = [[jaccard(shingles(a), shingles(b)) for b in codes[:3]] for a in codes]
    assert likeness(networks, networks[:3]) == pytest.approx(np.array(expected))
    assert likeness([], networks).shape == (0, 5) and likeness(networks, []).shape == (5, 0)


def networks(count: int, *kinds: str) -> list[NetworkShape]:
    """Networks of depths 0, 1, 2 … that use all of `kinds`, with nothing else in common."""
    return [NetworkShape(frozenset(kinds), n, frozenset({n})) for n in range(count)]


def test_figures_of_a_set_without_a_corpus() -> None:
    found = beside_corpus(networks(5, "Conv2d", "ReLU"), [])
    values = {name: figure.arm.value for name, figure in found.items()}
    assert values["kinds of layers in a network"] == 2
    assert values["depth, mean"] == 2
    assert values["depth, standard deviation"] == pytest.approx(sqrt(2.5))
    assert values["pairwise dissimilarity (1 − Jaccard)"] == 1
    assert all(f.corpus is None and f.ratio is None for f in found.values())
    assert all(f.arm.interval is None for f in found.values()), "too few for intervals"


def test_kinds_are_compared_among_equally_many_networks() -> None:
    """12 of 120 use a second kind: six of them show it with the probability below."""
    corpus = networks(108, "Conv2d") + networks(12, "Conv2d", "ReLU")
    found = beside_corpus(networks(12, "Conv2d"), corpus)["kinds of layers in 6 networks"]
    without = np.prod([(108 - i) / (120 - i) for i in range(6)])
    assert found.corpus is not None and found.ratio is not None
    assert found.arm.value == 1 and found.corpus.value == pytest.approx(2 - without)
    assert found.ratio.value == pytest.approx(1 / (2 - without))


def test_intervals_from_halves_are_as_wide_as_the_usual_ones() -> None:
    sample = networks(200, "Conv2d")
    estimate = beside_corpus(sample, [])["depth, mean"].arm
    error = np.std([n.depth for n in sample], ddof=1) / sqrt(200)
    assert estimate.interval is not None
    low, high = estimate.interval
    assert (low + high) / 2 == pytest.approx(estimate.value, abs=error / 2)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_nothing_to_compare() -> None:
    assert beside_corpus([], networks(3, "Conv2d")) == {}
    alone = beside_corpus(networks(1, "Conv2d"), networks(1, "ReLU"))
    assert alone["depth, mean"].arm.value == 0
