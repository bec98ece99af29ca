"""Does the first epoch rank networks as full training does?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nngpt.analysis.estimates import Estimate, accuracy
from nngpt.records import Arm
from nngpt.store import AttemptRecord, Confirmation

FEWEST = 10
"""Below so many candidates a rank correlation says next to nothing, and none is given."""

_DRAWS = 2000
_SEED = 20_240_601
Floats = npt.NDArray[np.float64]


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
        tau: Kendall's τ-b over all, None below `FEWEST` candidates or where all are equal.
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
    protocol = Counter(c.protocol for c in confirmations).most_common(1)[0][0]
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
    """τ-b with its interval, None below `FEWEST` or where one side is all ties."""
    if len(confirmed) < FEWEST:
        return None
    pairs = np.array([(c.first.value, c.full.value) for c in confirmed], np.float64)
    return tau_b(pairs[:, 0], pairs[:, 1])


def tau_b(one: Floats, other: Floats) -> Estimate | None:
    """Kendall's τ-b with a percentile bootstrap over the candidates; None if one is all ties.

    τ-b is the correlation of the signs of all pairs, so a draw with repetition only changes how
    often each pair counts. Draws of nothing but ties are left out.

    Args:
        one: [n].
        other: [n].
    """
    signs, others = (np.sign(values[:, None] - values[None, :]) for values in (one, other))
    count = len(one)
    draws = np.random.default_rng(_SEED).multinomial(count, np.full(count, 1 / count), _DRAWS)
    weights = np.vstack([np.ones(count), draws]).astype(np.float64)

    def sums(matrix: Floats) -> Floats:
        result: Floats = ((weights @ matrix) * weights).sum(axis=1)
        return result

    scale = np.sqrt(sums(signs**2) * sums(others**2))
    if scale[0] == 0:
        return None
    taus = sums(signs * others)[scale > 0] / scale[scale > 0]
    low, high = np.quantile(taus[1:], (0.025, 0.975))
    return Estimate(float(taus[0]), float(low), float(high), count)


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
