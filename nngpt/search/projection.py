"""Projection: how accurate a network of the search will be at the end, if it trains on.

A small network learns quickly at first and is overtaken later. So a rung is decided by the errors
that are expected at the end: those of now, times the factor by which errors fall until then. A
network of the portfolio has a learning curve for that; others follow usual networks of their size.
The spread of such projections, which tells whether a network may still win, is measured on the
learning curves of the portfolio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from nngpt.search.journal import Journal, StageRecord
from nngpt.search.portfolio import PortfolioNetwork, usual_error

_LUCK = 1.64
"""Standard deviations of luck that are allowed for: one network in twenty has more."""

_LEAST_SPREAD = 0.05

_TOGETHER = 0.7
"""Work of a training on all cores, as a share of what they do in trainings of their own."""

T = TypeVar("T")


@dataclass(frozen=True)
class Projection:
    """Projects the errors of networks to the end of a search.

    Attributes:
        pixels: number of pixels of an image.
        workers: networks that train at once, all of whose cores the last one will have.
        seconds: time of the whole search.
        spread: standard deviation of log(error / projected error) of a network that has trained
            three times as long.
        known: the networks of the portfolio, by content hash.
    """

    pixels: int
    workers: int
    seconds: float
    spread: float
    known: Mapping[str, PortfolioNetwork]

    @classmethod
    def of(
        cls, portfolio: Sequence[PortfolioNetwork], pixels: int, workers: int, seconds: float
    ) -> Projection:
        """Measure the spread on neighbouring points of the portfolio's learning curves."""
        misses = [
            math.log((1 - after) / (1 - before) / one.usual_fall(less, more))
            for one in portfolio
            for (less, before), (more, after) in zip(one.curve, one.curve[1:], strict=False)
        ]
        spread = math.sqrt(np.mean(np.square(misses))) if misses else 0.0
        known = {one.network: one for one in portfolio}
        return cls(pixels, workers, seconds, max(_LEAST_SPREAD, spread), known)

    def ranked(
        self, field: Sequence[tuple[T, StageRecord]], journal: Journal
    ) -> list[tuple[T, StageRecord]]:
        """Return networks that trained, the least expected error at the end first."""
        times = self._times(field, journal)
        return sorted(field, key=lambda one: self._expected(one[1], times[one[1].key]))

    def able(
        self, field: Sequence[tuple[T, StageRecord]], journal: Journal
    ) -> list[tuple[T, StageRecord]]:
        """Return the networks of a ranked field that may still be the best, with some luck."""
        times, found = self._times(field, journal), list[tuple[T, StageRecord]]()
        for one in field:
            best, record, longer = field[0][1], one[1], times[one[1].key]
            behind = self._expected(record, longer) - self._expected(best, times[best.key])
            variance = 2 * math.log(longer, 3) * self.spread**2
            variance += _noise(record) ** 2 + _noise(best) ** 2
            if behind <= _LUCK * math.sqrt(variance):
                found.append(one)
        return found

    def _expected(self, record: StageRecord, times: float) -> float:
        """Return the logarithm of the error that is expected after `times` the time so far."""
        size = record.parameters, (record.macs or record.parameters) * 1024 / self.pixels
        known, images = self.known.get(record.network), max(1.0, float(record.images))
        error_after = known.error_after if known else partial(usual_error, *size)
        return math.log(_error(record) * error_after(images * times) / error_after(images))

    def _times(self, field: Sequence[tuple[T, StageRecord]], journal: Journal) -> dict[str, float]:
        """Return how many times as long as so far each network would have trained at the end.

        The time that is left follows from the journal, so a search that resumes decides alike.
        """
        left = max(0.0, self.seconds - max((one.spent for _, one in field), default=0.0))
        work = left * (1 + _TOGETHER * (self.workers - 1))
        spent = {one.key: sum(stage.seconds for stage in journal.chain(one)) for _, one in field}
        return {key: 1 + work / max(seconds, 1.0) for key, seconds in spent.items()}


def _error(record: StageRecord) -> float:
    """Return the share of wrong answers, never 0."""
    return (record.total - record.correct + 0.5) / (record.total + 1)


def _noise(record: StageRecord) -> float:
    """Return the standard error of the logarithm of a network's error."""
    return math.sqrt((1 - _error(record)) / _error(record) / record.total)
