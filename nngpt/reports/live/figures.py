"""The figures of the live page, by cycle and by gate, each with its 95% interval.

A figure is a dictionary of `value`, `low`, `high` and `text`, some also with `text` in two parts,
`short` and `range`; it is None where there are no data. The page draws and prints it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from nngpt import statistics
from nngpt.records import Arm, Stage
from nngpt.reports.analysis import trajectory
from nngpt.reports.analysis.trajectory import Gate
from nngpt.reports.text import STAGES
from nngpt.statistics import Estimate
from nngpt.store import CycleSummary

Figure = dict[str, Any] | None
Summaries = Mapping[Arm, Sequence[CycleSummary]]


def share(successes: int, total: int) -> Figure:
    """Return a share with its Wilson interval for the live page, None if `total` is 0."""
    found = statistics.share(successes, total)
    return _with_parts(found, statistics.percent_of(successes, total)) if found else None


def accuracy(value: float, total: int) -> dict[str, Any]:
    """Return one network's accuracy with its Wilson interval for the live page."""
    found = statistics.accuracy(value, total)
    return _with_parts(found, statistics.accuracy_of(value, total))


def _with_parts(found: Estimate, text: str) -> dict[str, Any]:
    short, _, spread = text.rpartition(" = ")[2].partition(" ")
    low, high = found.interval or (found.value, found.value)
    ends = {"value": found.value, "low": low, "high": high}
    return {**ends, "text": text, "short": short, "range": spread}


@lru_cache(maxsize=4096)  # the means of closed cycles do not change
def mean(values: tuple[float, ...]) -> Figure:
    """Return a mean with its t interval, clipped to 0…1, for the live page; None without values."""
    found = statistics.mean(values)
    if found is None:
        return None
    low, high = found.interval or (None, None)
    return {
        "value": found.value,
        "low": None if low is None else max(0, low),
        "high": None if high is None else min(1, high),
        "text": f"{statistics.mean_of(values)} (n = {len(values)})",
    }


def series(summaries: Summaries, images: int, undecided: Mapping[Arm, int]) -> list[dict[str, Any]]:
    """Return each arm's figures by cycle for the live page; `undecided` is of the last cycle."""
    return [
        {
            "arm": arm,
            "cycles": [
                {
                    "cycle": s.cycle,
                    "closed": s.closed,
                    "validity": share(s.valid, s.generated - (0 if s.closed else undecided[arm])),
                    "mean": mean(s.accuracies),
                    "best": accuracy(s.best, images) if s.best is not None else None,
                    "above": share(s.above, s.valid),
                    "admitted": share(s.admitted, _settled(s)),
                    "corpus": {"value": total, "low": None, "high": None, "text": f"{total:,}"},
                }
                for s, total in zip(found, accumulate(x.admitted for x in found), strict=True)
            ],
        }
        for arm, found in summaries.items()
    ]


def totals(summaries: Summaries, images: int, undecided: Mapping[Arm, int]) -> list[dict[str, Any]]:
    """Return each arm's figures over all cycles for the live page."""
    result = []
    for arm, found in summaries.items():
        written, settled = sum(s.generated for s in found), sum(map(_settled, found))
        best = max((s.best for s in found if s.best is not None), default=None)
        figures = {
            "validity": share(sum(s.valid for s in found), written - undecided[arm]),
            "admitted": share(sum(s.admitted for s in found), settled),
            "best": accuracy(best, images) if best is not None else None,
        }
        result.append({"arm": arm, "written": written, "settled": settled, **figures})
    return result


def funnel(summaries: Summaries) -> dict[str, Any]:
    """Return how many settled candidates are left after each refusing gate, for the live page."""
    gates = [{g.stage: g for g in trajectory.funnel(found)} for found in summaries.values()]
    stages = [s for s in Stage if any(found[s].refused for found in gates if found)]
    steps = [
        {
            "label": stage or "settled",
            "detail": STAGES[stage] if stage else "admitted or refused",
            "arms": [_step(found, stage) for found in gates],
        }
        for stage in (None, *stages)
    ]
    return {"arms": list(summaries), "steps": steps if any(gates) else []}


def _step(gates: Mapping[Stage | None, Gate], stage: Stage | None) -> dict[str, Any]:
    if not gates:
        return {"left": None, "gone": 0}
    gate = gates[stage]
    return {"left": share(gate.left, gates[None].left), "gone": gate.refused}


def _settled(summary: CycleSummary) -> int:
    return summary.admitted + sum(summary.refused.values())
