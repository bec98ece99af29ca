"""What the loop has over its controls, and over its own beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Arm
from nngpt.reports.analysis.trajectory import CyclePoint
from nngpt.statistics import Estimate, mean_difference, share_difference

VALID = "valid share"
MEAN = "mean accuracy of the trained"
ABOVE = "above threshold, of the trained"
ABOVE_ALL = "above threshold, of all written"
AT_CHANCE = "mean accuracy, all answers"
MEASURES = (VALID, MEAN, ABOVE, ABOVE_ALL, AT_CHANCE)
"""What is compared; the last two cannot be flattered by failing where one would be bad."""

ALL, LAST = "all cycles", "last third"
OVER_TIME = "last third against first third"


@dataclass(frozen=True)
class Comparison:
    """One arm's cycles less another's.

    Attributes:
        other: who is subtracted; the loop itself when its last cycles are held against its first.
        span: which cycles.
        differences: by measure, as fractions of 1; None where nothing was counted.
    """

    other: Arm
    span: str
    differences: Mapping[str, Estimate | None]


def comparisons(
    points: Mapping[Arm, Sequence[CyclePoint]], threshold: float, chance: float | None
) -> tuple[Comparison, ...]:
    """The loop less each control, over all cycles and over the last third; then less its beginning.

    Args:
        points: each arm's cycles in order.
        threshold: accuracy for admission, 0…1.
        chance: accuracy of guessing, counted for an answer that was not trained; None leaves
            that measure out.
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
    """The last cycle of the first third and the first one of the last, rounded up to whole ones."""
    size = -(-cycles // 3)
    return size, cycles - size + 1


def _compare(
    one: Sequence[CyclePoint],
    other: Sequence[CyclePoint],
    threshold: float,
    chance: float | None,
) -> dict[str, Estimate | None]:
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
