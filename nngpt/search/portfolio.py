"""The portfolio: networks that `nngpt search` can start from, with their learning curves, as data.

`scripts/lemur-data portfolio` chose and measured them (docs/lemur.md). They are near-duplicates of
known networks, as a user who wants a good network wants.
"""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

import numpy as np

from nngpt.records import content_hash

FILE = Path(__file__).with_name("portfolio.jsonl.gz")
LICENCES = FILE.with_name("portfolio-licences.txt")
"""Texts of the licences of the networks."""

REFERENCE_S = 0.00125
"""CPU seconds in which the sandbox's reference network trains on an image of 32 × 32 pixels."""

TRAINED = 0.6
"""Share of a search in which its result trains, in all its stages."""

_NEAR = 0.06
"""A network may be expected to err in so many more of the images than the best one."""

_LIMIT, _LIMIT_SIZE, _LIMIT_POWER = 0.05, 3e6, 0.3
_START, _START_IMAGES, _START_POWER = 0.077, 4e5, 0.505
"""Usual error on CIFAR-10: a limit that falls with the size, and a part that falls with the images
passed. The limit is what is known of such networks; the rest is fitted to the curves of `quick`
(root mean square of the misses: 8% of the error, 14% at most).
"""


@dataclass(frozen=True)
class PortfolioNetwork:
    """A network of the portfolio; it builds and trains on any image size and number of classes.

    Attributes:
        name: name in LEMUR, or in nngpt.
        family: LEMUR's family of the network, "list" for layer lists, "quick" for our own.
        source: where it comes from.
        licence: SPDX expression.
        hyperparameters: those of its best recorded short trial, within the usual ranges.
        recorded: highest accuracy in LEMUR after at most five epochs, by LEMUR's name of the data
            set, 0…1.
        rate: highest learning rate of SGD for batches of 64 images with which it trains in a
            search; None for the search's usual recipe.
        curve: (images, accuracy) of trainings on CIFAR-10 with its recipe in a search, the shortest
            first. Each has its own rise and fall of the learning rate; validation images answer.
            Empty if it was not measured.
        cost: time of training on an image, relative to the sandbox's reference network.
        parameters: number of trainable parameters for CIFAR-10.
        macs: multiplications with addition of the forward pass of a 3×32×32 image.
        code: Python file that fulfils the contract.
    """

    name: str
    family: str
    source: str
    licence: str
    hyperparameters: Mapping[str, float]
    recorded: Mapping[str, float]
    rate: float | None
    curve: Sequence[tuple[int, float]]
    cost: float
    parameters: int
    macs: int
    code: str = field(repr=False)

    @property
    def network(self) -> str:
        """Content hash of the network."""
        return content_hash(self.code)

    def accuracy_after(self, seconds: float, pixels: int = 1024) -> float:
        """Return the accuracy on CIFAR-10 after so many CPU seconds, as the curve suggests.

        Args:
            pixels: of an image; larger ones take longer.
        """
        images = seconds / (REFERENCE_S * self.cost * pixels / 1024)
        return max(1 - self.error_after(images), 0.0)

    def error_after(self, images: float) -> float:
        """Return the error on CIFAR-10 after so many images passed, as the curve suggests.

        It follows the errors of usual networks through the points of the curve.
        """
        error = self._usual_error(images)
        if self.curve:
            points = [float(number) for number, _ in self.curve]
            ratios = [(1 - one) / self._usual_error(number) for number, one in self.curve]
            error *= math.exp(float(np.interp(np.log(images), np.log(points), np.log(ratios))))
        return error

    def usual_fall(self, images: float, later: float) -> float:
        """Return the factor by which errors usually fall from so many images passed to more."""
        return self._usual_error(later) / self._usual_error(images)

    def _usual_error(self, images: float) -> float:
        return usual_error(self.parameters, self.macs, images)


def usual_error(parameters: float, macs: float, images: float) -> float:
    """Return the error on CIFAR-10 that networks of a size usually make after so many images.

    Args:
        macs: multiplications with addition of the forward pass of a 3×32×32 image.
    """
    size = math.sqrt(max(1.0, parameters) * max(1.0, macs))
    limit = _LIMIT * math.pow(_LIMIT_SIZE / size, _LIMIT_POWER)
    return limit + _START * math.pow(_START_IMAGES / images, _START_POWER)


def promising(
    portfolio: Sequence[PortfolioNetwork], seconds: float, pixels: int = 1024
) -> list[PortfolioNetwork]:
    """Return the networks that are nearly the most accurate after so much training, best first.

    Args:
        seconds: CPU seconds that the best will have trained for in all.
        pixels: of an image.
    """
    expected = {one.name: one.accuracy_after(seconds, pixels) for one in portfolio}
    ranked = sorted(portfolio, key=lambda one: (-expected[one.name], one.name))
    return [one for one in ranked if expected[one.name] >= max(expected.values()) - _NEAR]


def choose(
    portfolio: Sequence[PortfolioNetwork], count: int, seconds: float, pixels: int = 1024
) -> list[PortfolioNetwork]:
    """Return so many networks, the `promising` ones first, then the next ones in the same way.

    At most half of them are of one family, as long as there are promising others.
    """
    near = promising(portfolio, seconds, pixels)
    families, chosen, others = Counter[str](), list[PortfolioNetwork](), list[PortfolioNetwork]()
    for one in near:
        families[one.family] += 1
        (chosen if families[one.family] <= max(1, count // 2) else others).append(one)
    found = (chosen + others)[:count]
    rest = [one for one in portfolio if one not in near]
    return found + (choose(rest, count - len(found), seconds, pixels) if rest else [])


@cache
def read_portfolio() -> tuple[PortfolioNetwork, ...]:
    """Return the networks of the portfolio, the cheapest first."""
    names = [one.name for one in fields(PortfolioNetwork)]
    lines = gzip.decompress(FILE.read_bytes()).decode().splitlines()
    records = map(json.loads, lines)
    return tuple(PortfolioNetwork(**{name: record[name] for name in names}) for record in records)


Choice = Callable[[Sequence[PortfolioNetwork], int], list[PortfolioNetwork]]
"""Chooses a number of networks for their accuracy."""


def choose_for(
    objectives: Sequence[str],
    most_parameters: int | None,
    portfolio: Sequence[PortfolioNetwork],
    count: int,
    choose: Choice,
) -> list[PortfolioNetwork]:
    """Return so many networks of a portfolio for a search.

    Networks beyond a limit on parameters come last; the number differs a little with images and
    classes. With several objectives, half of the networks come from the cheaper half.
    """
    most = math.inf if most_parameters is None else most_parameters
    by_excess = sorted(portfolio, key=lambda one: max(0, one.parameters - most))
    known = by_excess[: max(count, sum(one.parameters <= most for one in portfolio))]
    if len(objectives) == 1:
        return choose(known, count)
    found = choose(known, count - count // 2)
    for group in (_cheaper_half(known, objectives), known):
        found += choose([one for one in group if one not in found], count - len(found))
    return found


def _cheaper_half(
    portfolio: Sequence[PortfolioNetwork], objectives: Sequence[str]
) -> list[PortfolioNetwork]:
    """Return the half with the least sum of ranks in the costs; MACs stand for latency."""
    ranks = Counter[str]()
    for name in dict.fromkeys(
        "parameters" if o == "parameters" else "macs" for o in objectives[1:]
    ):
        ordered = sorted(portfolio, key=lambda one: (getattr(one, name), one.name))
        ranks.update({one.name: rank for rank, one in enumerate(ordered)})
    return sorted(portfolio, key=lambda one: ranks[one.name])[: -(-len(portfolio) // 2)]
