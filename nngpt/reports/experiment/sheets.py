"""The tables of an experiment."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.reports.experiment.figures import ArmDifference, RunFigures, measures
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import NONE, measured, point_ends, signed, uncorrected
from nngpt.statistics import FEWEST, percent_of, sign_of


def sheets(found: Sequence[RunFigures], differences: Sequence[ArmDifference]) -> list[Sheet]:
    """Return an experiment's tables: arms with all seeds, differences from the first, runs."""
    names = list(dict.fromkeys(run.name for run in found))
    arms = [_row(name, [run for run in found if run.name == name]) for name in names]
    runs = [_row(f"{run.name}, seed {run.seed}", [run]) for run in found]
    made = [
        Sheet("Arms", _COLUMNS, tuple(arms), _NOTE),
        Sheet(
            "Differences from the first arm",
            ("arms", "figure", ">points, over networks", ">by seed", ">over seeds", "verdict"),
            tuple(map(_difference, differences)),
            "Arms on different data sets are not compared. 95% intervals. Over networks: all "
            "networks of an arm are independent. Over seeds, for "
            f"{FEWEST} or more: each run is one observation. The arms differ only if both "
            f"intervals exclude zero. {uncorrected(len(differences))}",
        ),
        Sheet("Runs", _COLUMNS, tuple(runs)),
    ]
    return [sheet for sheet in made if sheet.rows]


_COLUMNS = (
    *("arm", ">runs", ">cycles", "valid", "above the threshold", "mean accuracy"),
    *("mean, last third", "all answers", "all, last third", "admitted", ">novel", ">minutes"),
)
_NOTE = (
    "Shares, of all written, with Wilson intervals; mean accuracies, of the valid, and of all "
    "answers, one that was not trained as chance, ± half their t interval; all over all networks "
    "of the arm. "
    "Novel: admitted, and no near-duplicate of a known network. Minutes are those of the whole "
    "run, so a control arm has none of its own."
)


def _row(name: str, runs: Sequence[RunFigures]) -> tuple[str, ...]:
    minutes = sum(run.seconds for run in runs if run.name == run.arm) / 60
    return (
        name,
        str(len(runs)),
        str(sum(len(run.by_cycle) for run in runs)),
        *map(measured, measures(runs).values()),
        percent_of(sum(run.admitted for run in runs), sum(run.written for run in runs)),
        str(sum(run.novel for run in runs)),
        f"{minutes:.0f}" if minutes else "–",
    )


def _difference(difference: ArmDifference) -> tuple[str, ...]:
    pooled = difference.over_networks
    return (
        f"{difference.name} − {difference.base}",
        difference.what,
        f"{signed(pooled.value)} {point_ends(pooled.interval)}".strip(),
        ", ".join(map(signed, difference.by_seed)) or NONE,
        point_ends(difference.over_seeds) or NONE,
        verdict(difference),
    )


def verdict(difference: ArmDifference) -> str:
    """Return an experiment sheet's entry on whether two arms differ."""
    pooled, over_seeds = difference.over_networks, difference.over_seeds
    if pooled.interval is None:
        return "too few networks"
    if not pooled.sign:
        return "no difference shown"
    if over_seeds is None:
        few = len(difference.by_seed) < FEWEST
        return "only over networks: too few seeds" if few else "no interval: all seeds agree"
    return "differ" if sign_of(over_seeds) else "only over networks"
