"""Differences of the loop from its control arms, and of its end from its beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Arm
from nngpt.reports.analysis.trajectory import CyclePoint
from nngpt.statistics import Difference, mean_difference, share_difference

VALID = "valid share"
MEAN = "mean accuracy of the trained"
ABOVE = "above threshold, of the trained"
ABOVE_ALL = "above threshold, of all written"
AT_CHANCE = "mean accuracy, all answers"
MEASURES = (VALID, MEAN, ABOVE, ABOVE_ALL, AT_CHANCE)
"""The figures compared. Failing on hard cases raises none of the last two."""

ALL, LAST = "all cycles", "last third"
OVER_TIME = "last third against first third"


@dataclass(frozen=True)
class Comparison:
    """The figures of the loop minus those of an arm.

    Attributes:
        other: arm subtracted; the loop itself where its last third is compared with its first.
        span: `ALL`, `LAST` or `OVER_TIME`.
        differences: differences of fractions, by measure; None where a side has no data.
    """

    other: Arm
    span: str
    differences: Mapping[str, Difference | None]


def comparisons(
    points: Mapping[Arm, Sequence[CyclePoint]], threshold: float, chance: float | None
) -> tuple[Comparison, ...]:
    """Return the loop minus each control, over all cycles and the last third, then over time.

    Args:
        points: each arm's cycles in order.
        threshold: admission threshold, 0…1.
        chance: accuracy counted for an untrained answer; None omits `AT_CHANCE`.
    """
    loop = points.get(Arm.LOOP, ())
    last = max((p.cycle for p in loop), default=0)
    first, late = thirds(last)
    found = []
    for arm in (Arm.BASE, Arm.CORPUS):
        control = points.get(arm, ())
        for span, since in ((ALL, 1), (LAST, late)):
            one, other = ([p for p in side if p.cycle >= since] for side in (loop, control))
            if one and other and (span == ALL or since > 1):
                found.append(Comparison(arm, span, _compare(one, other, threshold, chance)))
    if late > first:
        before, after = (
            [p for p in loop if p.cycle <= first],
            [p for p in loop if p.cycle >= late],
        )
        if before and after:
            found.append(
                Comparison(Arm.LOOP, OVER_TIME, _compare(after, before, threshold, chance))
            )
    return tuple(found)


def thirds(cycles: int) -> tuple[int, int]:
    """Return the last cycle of the first third and the first of the last; thirds are rounded up."""
    size = -(-cycles // 3)
    return size, cycles - size + 1


def _compare(
    one: Sequence[CyclePoint],
    other: Sequence[CyclePoint],
    threshold: float,
    chance: float | None,
) -> dict[str, Difference | None]:
    (values, written), (others, other_written) = _pooled(one), _pooled(other)
    above, other_above = (sum(v >= threshold for v in side) for side in (values, others))
    found = {
        VALID: share_difference((len(values), written), (len(others), other_written)),
        MEAN: mean_difference(values, others),
        ABOVE: share_difference((above, len(values)), (other_above, len(others))),
        ABOVE_ALL: share_difference((above, written), (other_above, other_written)),
    }
    if chance is not None:
        padded = [
            side + [chance] * (count - len(side))
            for side, count in ((values, written), (others, other_written))
        ]
        found[AT_CHANCE] = mean_difference(*padded)
    return found


def _pooled(points: Sequence[CyclePoint]) -> tuple[list[float], int]:
    return [v for p in points for v in p.accuracies], sum(p.written for p in points)
