"""Does the first epoch rank networks as full training does?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.records import Arm
from nngpt.reports.analysis.ranking import rank_agreement
from nngpt.statistics import Estimate, accuracy
from nngpt.store import AttemptRecord, Confirmation


@dataclass(frozen=True)
class Confirmed:
    """A candidate's accuracy after the first epoch (validation) and after all (test)."""

    attempt: int
    arm: Arm
    cycle: int
    first: Estimate
    full: Estimate
    epochs: int


@dataclass(frozen=True)
class Ranking:
    """How well the first epoch ranks.

    Attributes:
        protocol: of the full trainings, as JSON: the one with most of them.
        confirmed: in the order of training.
        failed: full trainings by this protocol that came to nothing.
        others: full trainings by other protocols, left out.
        tau: Kendall's τ-b over all, None below ten candidates or where all are equal.
        by_cycle: the same of each cycle with enough.
    """

    protocol: str
    confirmed: tuple[Confirmed, ...]
    failed: int
    others: int
    tau: Estimate | None
    by_cycle: tuple[tuple[int, Estimate], ...]


def ranking(
    confirmations: Sequence[Confirmation], attempts: Sequence[AttemptRecord]
) -> Ranking | None:
    """The first epoch's validation accuracy against the full test accuracy; None without any."""
    if not confirmations:
        return None
    known = {a.id: a for a in attempts}
    # Of two that are as common the newer: what failed was tried again with other limits.
    protocol = Counter(c.protocol for c in reversed(confirmations)).most_common(1)[0][0]
    mine = [c for c in confirmations if c.protocol == protocol]
    found = [c for c in (_confirmed(one, known.get(one.attempt_id)) for one in mine) if c]
    cycles = sorted({c.cycle for c in found})
    each = [(n, tau_of([c for c in found if c.cycle == n])) for n in cycles]
    return Ranking(
        protocol=protocol,
        confirmed=tuple(found),
        failed=sum(c.accuracy is None for c in mine),
        others=len(confirmations) - len(mine),
        tau=tau_of(found),
        by_cycle=tuple((n, tau) for n, tau in each if tau is not None),
    )


def tau_of(confirmed: Sequence[Confirmed]) -> Estimate | None:
    """τ-b with its interval, None below ten candidates or where one side is all ties."""
    found = rank_agreement([c.first.value for c in confirmed], [c.full.value for c in confirmed])
    if found.tau is None or found.low is None or found.high is None:
        return None
    return Estimate(found.tau, found.low, found.high, found.n)


def _confirmed(one: Confirmation, attempt: AttemptRecord | None) -> Confirmed | None:
    if one.accuracy is None or attempt is None or attempt.evaluation is None:
        return None
    first = attempt.evaluation.epochs[0]
    return Confirmed(
        attempt=attempt.id,
        arm=attempt.arm,
        cycle=attempt.cycle,
        first=accuracy(first.accuracy, first.total),
        full=accuracy(one.accuracy, one.total),
        epochs=len(one.epochs),
    )
