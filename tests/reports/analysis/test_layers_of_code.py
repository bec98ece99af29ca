"""Thirds of a run, and the layers read from code."""

from __future__ import annotations

import pytest
from report_samples import network
from store_samples import candidate

from nngpt.reports.analysis.layers import chain, kind_of
from nngpt.reports.analysis.uplift import thirds


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
