"""An experiment's figures as tables."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.reports.experiment.comparison import Difference, Interval, RunFigures
from nngpt.reports.sheets import Sheet
from nngpt.statistics import mean_of, percent_of


def sheets(found: Sequence[RunFigures], differences: Sequence[Difference]) -> list[Sheet]:
    """Arms with all their seeds, differences from the first arm, and each run."""
    names = list(dict.fromkeys(run.name for run in found))
    arms = [_row(name, [run for run in found if run.name == name]) for name in names]
    runs = [_row(f"{run.name}, seed {run.seed}", [run]) for run in found]
    made = [
        Sheet("Arms", _COLUMNS, tuple(arms), _NOTE),
        Sheet(
            "Differences from the first arm",
            ("arms", "what", ">points, over networks", ">by seed", ">over seeds", "verdict"),
            tuple(map(_difference, differences)),
            "95% intervals. Over networks: all of an arm's networks as independent; over seeds: a "
            "run is one observation. A difference is called one only if both exclude zero.",
        ),
        Sheet("Runs", _COLUMNS, tuple(runs)),
    ]
    return [sheet for sheet in made if sheet.rows]


_COLUMNS = (
    "arm",
    ">runs",
    ">cycles",
    "valid",
    "mean accuracy",
    "mean, last third",
    "above the threshold, of the valid",
    "admitted",
    ">novel",
    ">minutes",
)
_NOTE = (
    "Shares with Wilson intervals, means ± half of their t interval, over all networks of the arm. "
    "Novel: admitted, and no near-duplicate of anything known. Minutes are those of the whole run; "
    "a control has none of its own."
)


def _row(name: str, runs: Sequence[RunFigures]) -> tuple[str, ...]:
    accuracies = [accuracy for run in runs for accuracy in run.accuracies]
    late = [accuracy for run in runs for accuracy in run.late]
    written, valid = sum(run.written for run in runs), len(accuracies)
    minutes = sum(run.seconds for run in runs if run.name == run.arm) / 60
    return (
        name,
        str(len(runs)),
        str(sum(run.cycles for run in runs)),
        percent_of(valid, written),
        mean_of(accuracies),
        mean_of(late),
        percent_of(sum(run.above for run in runs), valid),
        percent_of(sum(run.admitted for run in runs), written),
        str(sum(run.novel for run in runs)),
        f"{minutes:.0f}" if minutes else "–",
    )


def _difference(difference: Difference) -> tuple[str, ...]:
    return (
        f"{difference.name} − {difference.base}",
        difference.what,
        _points(difference.value, difference.interval),
        ", ".join(f"{value * 100:+.1f}" for value in difference.by_seed) or "–",
        _ends(difference.over_seeds) or "–",
        verdict(difference),
    )


def verdict(difference: Difference) -> str:
    """In a word whether there is a difference."""
    pooled, over_seeds = difference.interval, difference.over_seeds
    if pooled is None or over_seeds is None:
        few = "one seed" if len(difference.by_seed) < 2 else "seeds alike: no interval"
        return "too few networks" if pooled is None else few
    if not _excludes_zero(pooled):
        return "no difference shown"
    return "differ" if _excludes_zero(over_seeds) else "only over networks"


def _excludes_zero(interval: Interval) -> bool:
    return not interval[0] <= 0 <= interval[1]


def _points(value: float, interval: Interval | None) -> str:
    return " ".join(filter(None, (f"{value * 100:+.1f}", _ends(interval))))


def _ends(interval: Interval | None) -> str:
    return f"[{interval[0] * 100:+.1f}, {interval[1] * 100:+.1f}]" if interval else ""
