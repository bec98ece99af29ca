"""Select the admitted networks that the LLM learns: all, the best by rank, or a Pareto front."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Sequence

from nngpt.generation.prompts.parents import USEFUL, pareto_front
from nngpt.store import AttemptRecord


def selected(how: str, attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the attempts to learn, in their order.

    Args:
        how: `learning.select`: "all", "top SHARE" or "front"; the last two perhaps "per cycle".
        attempts: admitted attempts.
    """
    if how == "all":
        return list(attempts)
    choose = (
        _front if how.startswith("front") else functools.partial(_top, learned_share(how) or 1.0)
    )
    per_cycle = how.endswith("per cycle")
    groups = defaultdict[int, list[AttemptRecord]](list)
    for attempt in attempts:
        groups[attempt.cycle if per_cycle else 0].append(attempt)
    chosen = {one.id for group in groups.values() for one in choose(group)}
    return [attempt for attempt in attempts if attempt.id in chosen]


def learned_share(how: str) -> float | None:
    """Return the share of the admitted networks that `learning.select` takes; None of a front."""
    kind, *share = how.removesuffix(" per cycle").split()
    if kind == "front":
        return None
    return float(share[0]) if share else 1.0


def _top(share: float, attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the best share of the attempts, rounded up; of equals the earlier ones."""
    ranked = sorted(attempts, key=lambda a: (-a.accuracy, a.id))
    return ranked[: math.ceil(share * len(ranked))]


def _front(attempts: Sequence[AttemptRecord]) -> list[AttemptRecord]:
    """Return the attempts that are more accurate than all that are not larger."""
    least = USEFUL * max(attempt.accuracy for attempt in attempts)
    useful = [attempt for attempt in attempts if attempt.accuracy >= least]
    return pareto_front(useful, _size, lambda attempt: attempt.accuracy)


def _size(attempt: AttemptRecord) -> float:
    """Return the number of parameters; unknown ones count as the most."""
    return (attempt.evaluation and attempt.evaluation.claimed_parameters) or math.inf
