"""Tables of what a run cost: time and energy by cycle, and until each arm reached an accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.reports.analysis.costs import Costs, Reached
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import ARM_NAMES, NONE, duration, energy

_NOT_REPORTED = "No device reported its energy, and none is estimated."
_REACHED_NOTE = (
    "Time: the arm's own writing and trainings, and the loop's learning, added up although some "
    "overlap; trainings that failed are not in it. The first to reach an accuracy is partly luck, "
    "and this is one run."
)


def spent_sheet(found: Costs) -> Sheet:
    """Return the table of a run's time and energy by cycle and per admitted network."""
    names, known = found.activities, found.joules is not None
    columns = (">cycle", *(f">{n}" for n in names), ">total", ">admitted", ">per admitted")
    columns += (">energy", ">per admitted") if known else ()
    rows = []
    for cycle, spent in found.by_cycle.items():
        times = (duration(spent[name]) if name in spent else NONE for name in names)
        admitted = found.admitted_by_cycle.get(cycle, 0)
        joules = found.joules_by_cycle.get(cycle)
        last = _last(sum(spent.values()), admitted, joules, known)
        rows.append((str(cycle), *times, *last))
    totals = map(duration, found.totals.values())
    rows.append(("all", *totals, *_last(found.seconds, found.admitted, found.joules, known)))
    title = "Time" + (" and energy" if known else "")
    return Sheet(title, columns, tuple(rows), _note(found))


def _last(seconds: float, admitted: int, joules: float | None, known: bool) -> tuple[str, ...]:
    each = duration(seconds / admitted) if admitted else NONE
    found = (duration(seconds), f"{admitted:,}", each)
    if not known:
        return found
    return (*found, energy(joules), energy(joules / admitted if joules and admitted else None))


def _note(found: Costs) -> str:
    parts = [] if found.measured else ["Sums over candidates, whose times may overlap."]
    if found.per_hour is not None:
        parts.append(f"{found.per_hour:,.0f} candidates per hour, all arms.")
    parts.append("Per network that the loop admitted; the time of control arms is in it.")
    return " ".join([*parts, *([_NOT_REPORTED] if found.joules is None else [])])


def reached_sheet(found: Sequence[Reached]) -> Sheet | None:
    """Return the table of what it took each arm of a run to reach accuracies; None without arms."""
    if not found:
        return None
    known = any(one.joules is not None for one in found)
    columns = (
        *(">accuracy", "", "arm", "reached by", ">answers by then", ">time of the arm by then"),
        *((">energy of the run by then",) if known else ()),
    )
    rows = tuple(
        (
            f"{one.accuracy:.1%}",
            one.level,
            ARM_NAMES[one.arm],
            f"#{one.attempt}, cycle {one.cycle}" if one.attempt else "not reached",
            f"{one.written:,}",
            duration(one.seconds),
            *((energy(one.joules),) if known else ()),
        )
        for one in found
    )
    note = _REACHED_NOTE
    if known:
        note += " Energy: of all arms, to the end of that cycle: it cannot be split between them."
    return Sheet("Cost of an accuracy", columns, rows, note)
