"""How far a run's loop is ahead of its control arms so far, by intervals valid at any time.

What is estimated is the expected accuracy of the loop's answers so far minus that of the control's,
each given all earlier answers of both (`statistics.anytime_difference`). An answer that was not
trained counts as chance. It says how this run went, not how a run with another seed would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from nngpt.records import Arm
from nngpt.reports.text import ARM_NAMES, points
from nngpt.statistics import Difference, anytime_difference
from nngpt.store import Outcome, RunRecord, Store

CONTROLS = (Arm.BASE, Arm.CORPUS)


@dataclass(frozen=True)
class Lead:
    """The mean accuracy of the loop's answers minus a control's, up to and with a cycle."""

    other: Arm
    cycle: int
    difference: Difference

    def line(self) -> str:
        """Return the lead as a line that claims no more than its interval shows."""
        found = self.difference
        shown = ("the loop is behind", "no difference is shown", "the loop is ahead")
        return (
            f"Loop minus {ARM_NAMES[self.other]} so far, at any time: {points(found)} in the mean "
            f"accuracy of all answers ({found.count:,} and {found.other_count:,}): "
            f"{shown[found.sign + 1]}{' in this run' if found.sign else ''}."
        )


def leads(outcomes: Sequence[Outcome], chance: float | None) -> Mapping[Arm, tuple[Lead, ...]]:
    """Return the loop's lead over each control arm after each cycle; {} if chance is unknown.

    Answers count up to the first undecided one: failures are known before trainings end, so that
    the later ones known by now would be a selection.
    """
    found = {arm: _leads(outcomes, arm, chance) for arm in CONTROLS} if chance else {}
    return {arm: some for arm, some in found.items() if some}


def newest_leads(store: Store, run: RunRecord) -> list[Lead]:
    """Return the loop's lead by now over each control arm of a run that knows its classes.

    Raises: StoreError if the database cannot be read.
    """
    if not run.class_names or len(store.arms(run.id)) < 2:
        return []
    outcomes, chance = store.outcomes(run.id), 1 / len(run.class_names)
    found = (_lead(_counted(outcomes, arm), arm, chance) for arm in CONTROLS)
    return [lead for lead in found if lead is not None]


def _leads(outcomes: Sequence[Outcome], arm: Arm, chance: float) -> tuple[Lead, ...]:
    counted = _counted(outcomes, arm)
    upto = (
        [o for o in counted if o.cycle <= cycle] for cycle in sorted({o.cycle for o in counted})
    )
    return tuple(lead for some in upto if (lead := _lead(some, arm, chance)) is not None)


def _counted(outcomes: Sequence[Outcome], arm: Arm) -> list[Outcome]:
    both = (outcome for outcome in outcomes if outcome.arm in (Arm.LOOP, arm))
    return list(takewhile(lambda outcome: outcome.decided, both))


def _lead(counted: Sequence[Outcome], other: Arm, chance: float) -> Lead | None:
    values: dict[Arm, list[float]] = {Arm.LOOP: [], other: []}
    for outcome in counted:
        values[outcome.arm].append(chance if outcome.accuracy is None else outcome.accuracy)
    found = anytime_difference(values[Arm.LOOP], values[other])
    return Lead(other, counted[-1].cycle, found) if found else None
