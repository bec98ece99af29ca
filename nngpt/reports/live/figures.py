"""The run in figures, cycle by cycle and gate by gate, each with its 95% interval.

A figure is a dictionary of `value`, `low`, `high` and `text` (some have it in two parts as well,
`short` and `range`); None where nothing was counted. The page draws and prints it as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any

from nngpt.records import Arm, Stage
from nngpt.reports.live.text import STAGES
from nngpt.statistics import accuracy_of, mean_half_width, mean_of, percent_of, wilson
from nngpt.store import CycleSummary

Figure = dict[str, Any] | None
Summaries = Mapping[Arm, Sequence[CycleSummary]]


def share(successes: int, total: int) -> Figure:
    """A share with its Wilson interval."""
    if total == 0:
        return None
    low, high = wilson(successes, total)
    return {
        "value": successes / total,
        "low": low,
        "high": high,
        "text": percent_of(successes, total),
        "short": f"{successes / total:.0%}",
        "range": f"[{low * 100:.0f}–{high * 100:.0f}]",
    }


def accuracy(value: float, total: int) -> Figure:
    """One network's accuracy with the Wilson interval that its validation images leave."""
    low, high = wilson(round(value * total), total) if total else (value, value)
    text = accuracy_of(value, total)
    short, _, spread = text.partition(" ")
    return {"value": value, "low": low, "high": high, "text": text, "short": short, "range": spread}


@lru_cache(maxsize=4096)  # most cycles are over: theirs does not change any more
def mean(values: tuple[float, ...]) -> Figure:
    """A mean with its t interval, which ends at 0 and 1; of one value there is none."""
    if not values:
        return None
    middle, half = mean_half_width(values)
    low, high = (None, None) if half is None else (max(0, middle - half), min(1, middle + half))
    return {
        "value": middle,
        "low": low,
        "high": high,
        "text": f"{mean_of(values)} (n = {len(values)})",
    }


def series(summaries: Summaries, images: int, undecided: Mapping[Arm, int]) -> list[dict[str, Any]]:
    """Each arm's figures by cycle; `undecided` are the last cycle's that have no verdict yet.

    `images` is the number of validation images.
    """
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
    """Each arm's figures over all cycles."""
    result = []
    for arm, found in summaries.items():
        written, valid = sum(s.generated for s in found), sum(s.valid for s in found)
        best = max((s.best for s in found if s.best is not None), default=None)
        settled = sum(_settled(s) for s in found)
        result.append(
            {
                "arm": arm,
                "written": written,
                "settled": settled,
                "validity": share(valid, written - undecided[arm]),
                "admitted": share(sum(s.admitted for s in found), settled),
                "best": accuracy(best, images) if best is not None else None,
            }
        )
    return result


def funnel(summaries: Summaries) -> dict[str, Any]:
    """How many of the settled candidates are left after each gate that refused any."""
    arms = list(summaries)
    settled = {arm: sum(_settled(s) for s in found) for arm, found in summaries.items()}
    left = dict(settled)
    steps = [{"label": "settled", "detail": "admitted or refused", "arms": _step(settled, settled)}]
    for stage in Stage:
        gone = {arm: sum(s.refused.get(stage, 0) for s in summaries[arm]) for arm in arms}
        if any(gone.values()):
            left = {arm: left[arm] - gone[arm] for arm in arms}
            detail = STAGES[stage]
            steps.append({"label": stage, "detail": detail, "arms": _step(left, settled, gone)})
    return {"arms": arms, "steps": steps if any(settled.values()) else []}


def _settled(summary: CycleSummary) -> int:
    """First answers that are admitted or refused."""
    return summary.admitted + sum(summary.refused.values())


def _step(
    left: Mapping[Arm, int], settled: Mapping[Arm, int], gone: Mapping[Arm, int] | None = None
) -> list[dict[str, Any]]:
    return [
        {"left": share(count, settled[arm]), "gone": gone[arm] if gone else 0}
        for arm, count in left.items()
    ]
