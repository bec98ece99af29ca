"""Console table of full trainings (`nngpt cycle confirm`): groups by arm and cycle, JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nngpt.records import Arm
from nngpt.reports.analysis.full_training import (
    FEWEST,
    RankAgreement,
    Reliability,
    first_epoch,
    rank_agreement,
)
from nngpt.reports.analysis.proxies import ProxyRanks
from nngpt.reports.sheets import Sheet
from nngpt.reports.text import accuracy_of, mean_of, plural
from nngpt.statistics import mean_half_width
from nngpt.store import AttemptRecord, Confirmation

Pair = tuple[AttemptRecord, Confirmation]


@dataclass(frozen=True)
class ConfirmedGroup:
    """Full trainings reported together, by arm and cycle (`name`); accuracies in one order."""

    name: tuple[str, str]
    first: tuple[float, ...]
    full: tuple[float, ...]
    failed: int

    @property
    def ranks(self) -> RankAgreement:
        """Rank agreement of the first epoch with full training."""
        return rank_agreement(self.first, self.full)


def groups(pairs: Sequence[Pair]) -> list[ConfirmedGroup]:
    """Group the rows of the table of `cycle confirm`: by cycle of each arm, by arm, and overall."""
    arms = [arm for arm in Arm if any(attempt.arm is arm for attempt, _ in pairs)]
    found = []
    for arm in arms:
        mine = [pair for pair in pairs if pair[0].arm is arm]
        for cycle in sorted({attempt.cycle for attempt, _ in mine}):
            found.append(_group((arm, str(cycle)), [p for p in mine if p[0].cycle == cycle]))
        found.append(_group((arm, "all"), mine))
    return found + ([_group(("all", "all"), pairs)] if len(arms) != 1 else [])


def _group(name: tuple[str, str], pairs: Sequence[Pair]) -> ConfirmedGroup:
    good = [(first_epoch(a), c.accuracy) for a, c in pairs if c.accuracy is not None]
    first, full = tuple(one for one, _ in good), tuple(other for _, other in good)
    return ConfirmedGroup((str(name[0]), name[1]), first, full, len(pairs) - len(good))


def confirm_sheet(pairs: Sequence[Pair], trained: int, title: str) -> Sheet:
    """Return the table of `cycle confirm`; `trained` candidates were sampled from."""
    rows, pairs = [], _first_of_each(pairs)
    for group in groups(pairs):
        means, ranks = (mean_of(group.first), mean_of(group.full)), _ranks_of(group.ranks)
        rows.append((*group.name, str(len(group.full)), *means, ranks, str(group.failed)))
    heads = ("arm", "cycle", ">n", "first epoch (95% CI)", "full (95% CI)")
    note = (
        f"{len(pairs)} of {plural(trained, 'trained candidate')}, in proportion for each arm, "
        "cycle and third of the first-epoch accuracies. First epoch: on validation images; full: "
        "on test images. Means with t intervals; Kendall's τ-b with a bootstrap interval for "
        f"{FEWEST} candidates or more."
    )
    return Sheet(title, (*heads, "τ-b (95% CI)", ">failed"), tuple(rows), note)


def reliability_sheet(found: Reliability) -> Sheet:
    """Return the table of the variance of one full training, with its verdict."""
    share = f"{found.share:.2f} [{found.low:.2f}, {found.high:.2f}]"
    deviations = (f"{100 * found.between:.1f}%", f"{100 * found.within:.1f}%")
    note = (
        f"{plural(found.networks, 'network')} × {found.trainings} trainings. Standard deviations "
        "of accuracy; share: the part of one training's variance that lies between networks, with "
        f"an F interval. {found.verdict.capitalize()}."
    )
    heads = (">between networks", ">between seeds", ">share (95% CI)")
    return Sheet("Networks or seeds", heads, ((*deviations, share),), note)


def proxies_sheet(found: Sequence[ProxyRanks]) -> Sheet:
    """Return the table of zero-cost proxies beside size and first epoch."""
    ends = [end for end in ("first", "full") if any(getattr(one, end) for one in found)]
    rows = []
    for one in found:
        ranks: list[RankAgreement | None] = [getattr(one, end) for end in ends]
        pairs = ((str(each.n) if each else "–", _ranks_of(each)) for each in ranks)
        rows.append((one.name, *(cell for pair in pairs for cell in pair)))
    heads = {"first": (">n", "τ-b with the first epoch"), "full": (">n", "τ-b with full training")}
    note = (
        "Kendall's τ-b with a bootstrap 95% interval, of all arms together. Parameters, FLOPs and "
        "proxies are as the networks' own processes reported them."
    )
    columns = ("score", *(head for end in ends for head in heads[end]))
    return Sheet("Zero-cost proxies", columns, tuple(rows), note)


def _ranks_of(ranks: RankAgreement | None) -> str:
    """Format the rank agreement in the table of `cycle confirm`: `0.62 [0.41, 0.78]`."""
    if ranks is None or ranks.tau is None:
        return "–"
    if ranks.low is None or ranks.high is None:
        return f"{ranks.tau:.2f} (too few for an interval)"
    return f"{ranks.tau:.2f} [{ranks.low:.2f}, {ranks.high:.2f}]"


def confirmed_line(attempt: AttemptRecord, confirmation: Confirmation) -> str:
    """Format a row of `cycle confirm`, one full training, as a console line."""
    head = f"  #{attempt.id:<5}"
    if attempt.evaluation is not None:
        head += f"first epoch {accuracy_of(*attempt.evaluation.curve[0]):<13}"
    if confirmation.accuracy is None:
        return f"{head}failed at {confirmation.reason}"
    full = accuracy_of(confirmation.accuracy, confirmation.total)
    return f"{head}full {full:<13}{confirmation.seconds:.1f} s"


def confirm_json(
    pairs: Sequence[Pair],
    trained: int,
    reliability: Reliability | None,
    proxies: Sequence[ProxyRanks],
) -> dict[str, Any]:
    """Return the figures of `nngpt cycle confirm` and its full trainings for a script.

    Args:
        pairs: all trainings; the groups are of the first of each candidate.
        proxies: () if the run has none.
    """
    every, pairs = pairs, _first_of_each(pairs)
    verdict = {"verdict": reliability.verdict} if reliability else {}
    return {
        "trained": trained,
        "reliability": {**asdict(reliability), **verdict} if reliability else None,
        **({"proxies": [asdict(one) for one in proxies]} if proxies else {}),
        "sample": len(pairs),
        "groups": [_group_json(group) for group in groups(pairs)],
        "confirmations": [
            {"arm": a.arm, "cycle": a.cycle, "first_epoch": first_epoch(a), **asdict(c)}
            for a, c in every
        ],
    }


def full_accuracies(pairs: Sequence[Pair]) -> dict[int, float]:
    """Return the test accuracy of each candidate's first full training, without failed ones."""
    return {a.id: c.accuracy for a, c in _first_of_each(pairs) if c.accuracy is not None}


def _first_of_each(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the first training of each candidate."""
    return list({attempt.id: (attempt, c) for attempt, c in reversed(pairs)}.values())[::-1]


def _group_json(group: ConfirmedGroup) -> dict[str, Any]:
    arm, cycle = group.name
    found: dict[str, Any] = {"arm": arm, "cycle": cycle}
    for name, values in (("first_epoch", group.first), ("full", group.full)):
        mean, half = mean_half_width(values) if values else (None, None)
        found[name] = {"mean": mean, "half_width_95": half}
    return {**found, "kendall_tau_b": asdict(group.ranks), "failed": group.failed}
