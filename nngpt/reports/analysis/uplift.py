"""Differences of the loop from its control arms, and of its end from its beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from nngpt.records import Arm
from nngpt.reports.analysis.trajectory import CyclePoint
from nngpt.statistics import Count, Difference, Measure, differences

VALID = "valid share"
MEAN = "mean accuracy of the trained"
ABOVE = "above threshold, of the trained"
ABOVE_ALL = "above threshold, of all written"
AT_CHANCE = "mean accuracy, all answers"
MEASURES = (VALID, MEAN, ABOVE, ABOVE_ALL, AT_CHANCE)
"""The figures compared. Failing on hard cases raises none of the last two."""

FEWEST_CYCLES = 4
"""Fewest cycles whose thirds are compared: of fewer, a third would be a single cycle."""

ALL, LAST = "all cycles", "last third"
OVER_TIME = "last third against first third"


@dataclass(frozen=True)
class Comparison:
    """The figures of a run's loop minus those of one of its arms.

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
    """Return the loop minus each control arm: over all cycles, the last third, then over time.

    Fewer than `FEWEST_CYCLES` cycles are compared as a whole only.

    `threshold` is that of admission, 0…1; `chance` is the accuracy counted for an untrained answer,
    None to omit `AT_CHANCE`.
    """
    loop = points.get(Arm.LOOP, ())
    last = max((p.cycle for p in loop), default=0)
    first, late = thirds(last)
    spans = ((ALL, 1), (LAST, late)) if last >= FEWEST_CYCLES else ((ALL, 1),)
    pairs = [
        (arm, span, _from(loop, since), _from(points.get(arm, ()), since))
        for arm in (Arm.BASE, Arm.CORPUS)
        for span, since in spans
    ]
    if last >= FEWEST_CYCLES:
        before = [p for p in loop if p.cycle <= first]
        pairs.append((Arm.LOOP, OVER_TIME, _from(loop, late), before))
    found = partial(_measures, threshold=threshold, chance=chance)
    return tuple(
        Comparison(other, span, differences(found(mine), found(theirs)))
        for other, span, mine, theirs in pairs
        if mine and theirs
    )


def thirds(cycles: int) -> tuple[int, int]:
    """Return the cycles that bound a run's first and last third, between which uplift is seen."""
    size = -(-cycles // 3)
    return size, cycles - size + 1


def _from(points: Sequence[CyclePoint], cycle: int) -> list[CyclePoint]:
    return [p for p in points if p.cycle >= cycle]


def _measures(
    points: Sequence[CyclePoint], threshold: float, chance: float | None
) -> dict[str, Measure]:
    values, written = [v for p in points for v in p.accuracies], sum(p.written for p in points)
    above = sum(value >= threshold for value in values)
    found: dict[str, Measure] = {
        VALID: Count(len(values), written),
        MEAN: values,
        ABOVE: Count(above, len(values)),
        ABOVE_ALL: Count(above, written),
    }
    if chance is not None:
        found[AT_CHANCE] = at_chance(values, written, chance)
    return found


def at_chance(accuracies: Sequence[float], written: int, chance: float) -> list[float]:
    """Return the accuracies of all `written` answers, those that were not trained as `chance`."""
    return [*accuracies, *[chance] * (written - len(accuracies))]
