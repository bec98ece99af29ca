"""The head of the live page: identity, progress, expected end, notes and time spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nngpt.records import Arm
from nngpt.reports.analysis.costs import costs
from nngpt.reports.text import duration, energy, line
from nngpt.store import Activity, CycleSummary, ForecastRecord, RunRecord


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
        "status": status_of(run, pid),
        "pid": pid,
        "cycle": cycle,
        "cycles": max(cycle, int(run.config.get("cycles", 0))),
        "threshold": task.get("threshold"),
        "facts": [line(fact) for fact in facts if fact],
        "created": run.created,
        "last": max(run.updated, last or ""),
    }


def status_of(run: RunRecord, pid: int | None) -> str:
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
            text = f"No fine-tuning after cycle {s.cycle}: {line(s.skipped)}"
            found.append({"kind": "note", "text": text})
    return found


def time_spent(
    activities: Sequence[Activity], summaries: Mapping[Arm, Sequence[CycleSummary]]
) -> dict[str, Any]:
    """Return the live overview's wall time and energy by activity, the longest first.

    Runs older than these records have the times of their stages instead, which overlap.
    """
    spent = costs(activities, (), [s for found in summaries.values() for s in found], admitted=0)
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
