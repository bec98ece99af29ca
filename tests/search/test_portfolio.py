"""The portfolio: which networks a search of a given length begins with, and our own networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lemur_data.candidates import LEMUR, OURS, Known, own_networks
from lemur_data.portfolio import best, measured

from nngpt.search.portfolio import REFERENCE_S, PortfolioNetwork, choose, promising, read_portfolio


def network(name: str, family: str, cost: float, *curve: tuple[int, float]) -> PortfolioNetwork:
    return PortfolioNetwork(
        name, family, "", "MIT", {}, {}, None, curve, cost, 400_000, 24 * 10**6, ""
    )


SMALL = network("small", "a", 1.0, (1000, 0.1), (100_000, 0.6))
LARGE = network("large", "a", 10.0, (1000, 0.1), (100_000, 0.95))
OTHER = network("other", "b", 1.0)
S = REFERENCE_S
NAMES = (("ours", OURS), ("list", LEMUR), ("none", LEMUR))


@pytest.mark.parametrize(
    ("one", "seconds", "pixels", "expected"),
    [
        (SMALL, 100_000 * S, 1024, 0.6),
        (SMALL, 100_000 * S, 102_400, 0.1),
        (LARGE, 10_000 * S, 1024, 0.1),
        (LARGE, 1_000_000 * S, 1024, 0.95),
        (LARGE, 1e-9, 1024, 0.0),
    ],
)
def test_the_points_of_a_curve_hold(
    one: PortfolioNetwork, seconds: float, pixels: int, expected: float
) -> None:
    assert one.accuracy_after(seconds, pixels) == pytest.approx(expected)


@pytest.mark.parametrize("one", [SMALL, LARGE, OTHER])
def test_more_time_is_better(one: PortfolioNetwork) -> None:
    found = [one.accuracy_after(10**exponent * S) for exponent in range(3, 9)]
    assert found == sorted(found)
    assert found[0] < 0.5 < found[-1] < 1


@pytest.mark.parametrize(
    ("count", "seconds", "pixels", "expected"),
    [
        (1, 10_000 * S, 1024, ["other"]),
        (1, 1_000_000 * S, 1024, ["large"]),
        (1, 1_000_000 * S, 102_400, ["other"]),
        (2, 1_000_000 * S, 1024, ["large", "other"]),
        (3, 1_000_000 * S, 1024, ["large", "other", "small"]),
    ],
)
def test_the_time_chooses_and_at_most_half_are_of_one_family(
    count: int, seconds: float, pixels: int, expected: list[str]
) -> None:
    chosen = choose([OTHER, SMALL, LARGE], count, seconds, pixels)
    assert [one.name for one in chosen] == expected


def test_what_could_not_win_is_not_promising() -> None:
    names = [one.name for one in promising([OTHER, SMALL, LARGE], 1_000_000 * S)]
    assert names == ["large", "other"]


def test_searches_of_all_lengths_have_networks_that_fit() -> None:
    portfolio = read_portfolio()
    assert min(one.macs for one in portfolio) < 1_000_000
    assert {one.family for one in portfolio} >= {"quick", "rag"}
    assert all(one.hyperparameters for one in portfolio)  # the search trains without the reader
    short, long = (choose(portfolio, 8, seconds)[0] for seconds in (5, 5000))
    assert short.cost < long.cost


@pytest.mark.parametrize(
    ("shape", "classes"), [((1, 28, 28), 10), ((3, 64, 64), 7), ((3, 224, 224), 3), ((1, 8, 9), 2)]
)
def test_our_own_networks_build_on_any_image(shape: tuple[int, int, int], classes: int) -> None:
    for one in own_networks()[:2]:
        names: dict[str, type[torch.nn.Module]] = {}
        exec(one.code, names)
        settings = {"lr": 0.1, "momentum": 0.9}
        made = names["Net"]((1, *shape), (classes,), settings, torch.device("cpu")).eval()
        with torch.no_grad():
            assert made(torch.randn(2, *shape)).shape == (2, classes)


def test_lines_of_measurements_make_the_portfolio() -> None:
    ours, list_, none = (Known(n, n, n, s, "MIT", {}, {}) for n, s in NAMES)
    lines = [
        line("reference", 0.0, 640, 0.64, 10_000, 1000),
        line(ours.name, 0.0, 640, 1.4, 10_000, 2000),
        line(list_.name, 0.0, 640, 7.0, 20_000, 2000),
        line(list_.name, 90.0, 30_000, 90.0, 20_000, 2000),
        line(list_.name, 30.0, 10_000, 30.0, 20_000, 2000),
        {"name": none.name, "horizon": 0.0, "refused": "it is too slow"},
    ]
    found = measured([ours, list_, none], lines)
    assert [(one.name, one.cost, one.curve) for one in found] == [
        (ours.name, 2.187, ()),
        (list_.name, 3.0, ((10_000, 0.5), (30_000, 0.5))),
    ]
    assert best(found) == found


def line(name: str, horizon: float, images: int, seconds: float, *size: int) -> dict[str, Any]:
    facts = {"images": images, "seconds": seconds, "accuracy": 0.5}
    return {"name": name, "horizon": horizon, **facts, "parameters": size[0], "macs": size[1]}
