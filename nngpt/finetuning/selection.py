"""Select the admitted networks that the LLM learns: all of them, or the best by rank."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nngpt.store import AttemptRecord


def selected(how: str, attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the attempts to learn, in their order.

    Args:
        how: `learning.select`: "all", "top SHARE" or "top SHARE per cycle".
        attempts: admitted attempts.
    """
    if how == "all":
        return list(attempts)
    share = float(how.split()[1])
    if not how.endswith("per cycle"):
        return _top(share, attempts)
    cycles = sorted({attempt.cycle for attempt in attempts})
    return [
        best for cycle in cycles for best in _top(share, [a for a in attempts if a.cycle == cycle])
    ]


def _top(share: float, attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the best share of the attempts, rounded up; of equals the earlier ones."""
    ranked = sorted(attempts, key=lambda a: (-a.result.accuracy if a.result else 0.0, a.id))
    best = {attempt.id for attempt in ranked[: math.ceil(share * len(ranked))]}
    return [attempt for attempt in attempts if attempt.id in best]
