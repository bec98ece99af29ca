"""The live page without its candidates: head, figures by cycle and gate, forecast, notes, times.

A figure is a dictionary of `value`, `low`, `high` and `text`, some also with `text` in two parts,
`short` and `range`; it is None where there are no data. The page draws and prints it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any

from nngpt import statistics
from nngpt.records import Arm, Result, Stage
from nngpt.reports.analysis import trajectory
from nngpt.reports.analysis.costs import costs
from nngpt.reports.analysis.trajectory import Gate
from nngpt.reports.text import STAGES, accuracy_of, duration, energy, line, mean_of
from nngpt.statistics import Estimate
from nngpt.store import Activity, CycleSummary, ForecastRecord, RunRecord

Figure = dict[str, Any] | None
Summaries = Mapping[Arm, Sequence[CycleSummary]]


def share(successes: int, total: int) -> Figure:
    """Return a share with its Wilson interval for the live page, None if `total` is 0."""
    found = statistics.share(successes, total)
    return _with_parts(found, statistics.percent_of(successes, total)) if found else None


def accuracy(result: Result) -> dict[str, Any]:
    """Return one network's accuracy with its interval for the live page."""
    return _with_parts(statistics.accuracy(*result), accuracy_of(*result))


def _with_parts(found: Estimate, text: str) -> dict[str, Any]:
    short, _, spread = text.rpartition(" = ")[2].partition(" ")
    low, high = found.interval or (found.value, found.value)
    ends = {"value": found.value, "low": low, "high": high}
    return {**ends, "text": text, "short": short, "range": spread}


@lru_cache(maxsize=4096)  # the means of closed cycles do not change
def mean(values: tuple[float, ...]) -> Figure:
    """Return a mean with its t interval for the live page; None without values."""
    found = statistics.mean(values)
    if found is None:
        return None
    text = f"{mean_of(values)} (n = {len(values)})"
    return {"value": found.value, "low": found.low, "high": found.high, "text": text}


def series(summaries: Summaries, undecided: Mapping[Arm, int]) -> list[dict[str, Any]]:
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
                    "best": accuracy(s.best) if s.best is not None else None,
                    "above": share(s.above, s.generated - (0 if s.closed else undecided[arm])),
                    "admitted": share(s.admitted, _settled(s)),
                    "corpus": {"value": total, "low": None, "high": None, "text": f"{total:,}"},
                }
                for s, total in zip(found, accumulate(x.admitted for x in found), strict=True)
            ],
        }
        for arm, found in summaries.items()
    ]


def totals(summaries: Summaries, undecided: Mapping[Arm, int]) -> list[dict[str, Any]]:
    """Return each arm's figures over all cycles for the live page."""
    result = []
    for arm, found in summaries.items():
        written, settled = sum(s.generated for s in found), sum(map(_settled, found))
        best = max((s.best for s in found if s.best is not None), default=None)
        figures = {
            "validity": share(sum(s.valid for s in found), written - undecided[arm]),
            "admitted": share(sum(s.admitted for s in found), settled),
            "best": accuracy(best) if best is not None else None,
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


def head(run: RunRecord, cycle: int, pid: int | None, last: str | None) -> dict[str, Any]:
    """Return a run's name, status, cycle, times (ISO 8601, UTC), settings for the live page."""
    task, llm = _section(run, "task"), _section(run, "llm")
    limit = f"threshold {task['threshold']:.0%}" if "threshold" in task else ""
    resumed = f"resumed {run.fence - 1} ×" if run.fence > 1 else ""
    names = str(task.get("dataset", "")), limit, str(llm.get("model", ""))
    facts = [f"run {run.id}", *names, f"seed {run.seed}", resumed]
    return {
        "id": run.id,
        "name": line(run.name),
        "status": _status_of(run, pid),
        "pid": pid,
        "cycle": cycle,
        "cycles": max(cycle, int(run.config.get("cycles", 0))),
        "threshold": task.get("threshold"),
        "facts": [line(fact) for fact in facts if fact],
        "created": run.created,
        "last": max(run.updated, last or ""),
    }


def _status_of(run: RunRecord, pid: int | None) -> str:
    """Return a run's status in the live overview: running, done, archived or idle."""
    if pid is not None:
        return "running"
    return "idle" if run.status == "active" else run.status


def planned(run: RunRecord) -> dict[Arm, int]:
    """Return the overview's number of planned candidates by arm in a cycle."""
    total = int(_section(run, "candidates").get("per_cycle", 0))
    shares = {arm: _section(run, "controls").get(arm, 0) for arm in (Arm.BASE, Arm.CORPUS)}
    counts = {arm: max(1, round(total * share)) if share else 0 for arm, share in shares.items()}
    return {Arm.LOOP: total - sum(counts.values()), **counts}


def forecast(forecasts: Sequence[ForecastRecord]) -> dict[str, Any] | None:
    """Return the overview's expected end of a run by the newest forecast, or None."""
    if not forecasts:
        return None
    newest = forecasts[-1]
    start = datetime.fromisoformat(newest.created)
    ends = {
        name: (start + timedelta(seconds=seconds)).isoformat(timespec="seconds")
        for name, seconds in (("end", newest.seconds), ("low", newest.low), ("high", newest.high))
    }
    return {**ends, "created": newest.created}


def notes(run: RunRecord, loop: Sequence[CycleSummary]) -> list[dict[str, str]]:
    """Return notes for the live page: early end; alarms and skipped fine-tunings, newest first."""
    found = [{"kind": "end", "text": f"Ended early: {line(run.ended)}"}] if run.ended else []
    for s in reversed(loop):
        if s.alarm:
            found.append({"kind": "alarm", "text": f"Cycle {s.cycle}: {line(s.alarm)}"})
        if s.skipped:
            text = f"Nothing was learned after cycle {s.cycle}: {line(s.skipped)}"
            found.append({"kind": "note", "text": text})
    return found


def time_spent(
    activities: Sequence[Activity], summaries: Mapping[Arm, Sequence[CycleSummary]]
) -> dict[str, Any]:
    """Return the live overview's wall time and energy by activity, the longest first.

    Runs older than these records have the times of their stages instead, which overlap.
    """
    spent = costs(activities, (), [s for found in summaries.values() for s in found])
    joules: dict[str, float] = {}
    for a in activities:
        if a.joules is not None:
            joules[a.activity] = joules.get(a.activity, 0.0) + a.joules
    total = spent.seconds
    parts = [
        {
            "name": line(name.replace("+", " + ")),
            "share": value / total,
            "text": f"{duration(value)}, {value / total:.0%}",
            "energy": energy(joules.get(name), unknown=""),
        }
        for name, value in spent.totals.items()
        if value > 0
    ]
    return {
        "overlapping": not spent.measured,
        "total": duration(total) if total else "",
        "energy": energy(spent.joules, unknown=""),
        "parts": parts,
    }


def _section(run: RunRecord, name: str) -> Mapping[str, Any]:
    found = run.config.get(name, {})
    return found if isinstance(found, Mapping) else {}
