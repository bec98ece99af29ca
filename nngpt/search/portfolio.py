"""The portfolio: small networks of LEMUR that `nngpt search` can start from, as data.

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

FILE = Path(__file__).with_name("portfolio.jsonl.gz")
LICENCES = FILE.with_name("portfolio-licences.txt")
"""Texts of the licences of the networks."""


@dataclass(frozen=True)
class PortfolioNetwork:
    """A network of the portfolio; it builds and trains on any image size and number of classes.

    Attributes:
        name: name in LEMUR.
        family: LEMUR's family of the network.
        source: package and version that it comes from.
        licence: SPDX expression.
        hyperparameters: those of its best recorded short trial, within the usual ranges.
        recorded: highest accuracy in LEMUR after at most five epochs, by LEMUR's name of the data
            set, 0…1; LEMUR may have enlarged the images.
        accuracy: accuracy on CIFAR-10 after one epoch over 4,000 images in nngpt's own loop (SGD,
            learning rate 0.05, momentum 0.9, batch 64), 0…1.
        parameters: number of trainable parameters for 3×64×64 images and seven classes.
        macs: multiplications with addition of the forward pass of a 3×32×32 image.
        seconds: CPU seconds of that epoch, relative to the sandbox's reference network.
        code: Python file that fulfils the contract.
    """

    name: str
    family: str
    source: str
    licence: str
    hyperparameters: Mapping[str, float]
    recorded: Mapping[str, float]
    accuracy: float
    parameters: int
    macs: int
    seconds: float
    code: str = field(repr=False)


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
