"""Medians, rank correlation and layers, against values from tables and by hand."""

from __future__ import annotations

import pytest
from report_samples import network
from store_samples import candidate

from nngpt.reports.analysis.layers import chain, kind_of
from nngpt.reports.analysis.uplift import thirds
from nngpt.statistics import accuracy, median, share


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # The usual table of order-statistic intervals for a median, e.g. n = 10: 2nd and 9th.
    [(5, None, None), (6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (25, 8, 18)],
)
def test_median_interval(count: int, low: int | None, high: int | None) -> None:
    found = median([float(n) for n in range(count, 0, -1)])
    assert found is not None
    assert (found.value, found.low, found.high) == ((count + 1) / 2, low, high)


def test_nothing_has_no_figure() -> None:
    assert share(0, 0) is None and median([]) is None
    assert accuracy(0.5, 0).low is None


def test_thirds() -> None:
    assert [thirds(n) for n in (1, 2, 3, 8)] == [(1, 1), (1, 2), (1, 3), (3, 6)]


def test_a_chain_of_layers() -> None:
    layers = chain(network(7, "        self.three = nn.LazyLinear(10, bias=False)\n"))
    assert [(layer.kind, layer.name, layer.arguments) for layer in layers] == [
        ("conv", "Conv2d", "3, 8, 3"),
        ("activation", "ReLU", ""),
        ("linear", "Linear", "10, bias=False"),
    ]
    assert chain(candidate("class Net: pass\n")) == ()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ConvTranspose2d", "conv"),
        ("BatchNorm2d", "norm"),
        ("GroupNorm", "norm"),
        ("SELU", "activation"),
        ("ReLU6", "activation"),
        ("LeakyReLU", "activation"),
        ("PReLU", "activation"),
        ("SiLU", "activation"),
        ("AdaptiveAvgPool2d", "pool"),
        ("Dropout2d", "dropout"),
        ("Bilinear", "linear"),
        ("Flatten", "other"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert kind_of(name) == kind
