"""Early stopping: networks that will not catch up with the leader train no further.

As networks train longer, the logarithm of their error falls about linearly with the logarithm of
the time. How steeply it falls was measured for the networks of the portfolio, whose curves bound
what may be expected of any network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nngpt.search.journal import StageRecord
from nngpt.search.portfolio import PortfolioNetwork

_COVERED = 0.9
"""Share of the portfolio's slopes between the lowest and the highest that are expected."""

_ERRORS = 1.64
"""Standard errors of an accuracy that are allowed for."""


@dataclass(frozen=True)
class Slopes:
    """Expected slopes of log error against log time; both negative.

    Attributes:
        steep, flat: bounds of the slopes.
    """

    steep: float
    flat: float

    @classmethod
    def of(cls, portfolio: Sequence[PortfolioNetwork]) -> Slopes:
        """Return the bounds of the slopes between neighbouring points of the portfolio's curves."""
        found = [
            math.log((1 - after) / (1 - before)) / math.log(more / less)
            for one in portfolio
            for (less, before), (more, after) in zip(one.curve, one.curve[1:], strict=False)
        ]
        tail = (1 - _COVERED) / 2
        steep, flat = np.quantile(found, [tail, 1 - tail])
        return cls(float(steep), min(float(flat), 0.0))

    def may_win(self, record: StageRecord, leader: StageRecord, times: float) -> bool:
        """Return whether a network may overtake the leader in `times` the time so far.

        It may if it is more accurate then with a steep curve and luck with the validation images so
        far, while the leader has a flat curve and had none.
        """
        low = _log_error(record, -_ERRORS) + self.steep * math.log(times)
        return low <= _log_error(leader, _ERRORS) + self.flat * math.log(times)


def _log_error(record: StageRecord, errors: float) -> float:
    """Return the logarithm of a network's error, moved by so many standard errors."""
    wrong = (record.total - record.correct + 0.5) / (record.total + 1)
    deviation = math.sqrt(wrong * (1 - wrong) / record.total)
    return math.log(max(wrong + errors * deviation, 0.5 / (record.total + 1)))
