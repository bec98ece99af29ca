"""The Pareto front of accuracy against cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.generation.prompts.parents import pareto_front
from nngpt.records import Arm
from nngpt.statistics import Estimate, accuracy
from nngpt.store import AttemptRecord

PARAMETERS, LATENCY = "parameters", "latency, ms"


@dataclass(frozen=True)
class CostedNetwork:
    """A trained network: accuracy, and parameters or latency as its own process reported them."""

    attempt: int
    arm: Arm
    admitted: bool
    cost: float
    accuracy: Estimate


@dataclass(frozen=True)
class Front:
    """All trained networks with one kind of cost, and those on the front, cheapest first."""

    cost: str
    networks: tuple[CostedNetwork, ...]
    front: tuple[CostedNetwork, ...]


def fronts(attempts: Sequence[AttemptRecord]) -> tuple[Front, ...]:
    """Return a run's Pareto fronts by parameters and, where it was measured, by latency."""
    found = []
    for cost in (PARAMETERS, LATENCY):
        networks = [w for w in (_costed(a, cost) for a in attempts) if w is not None]
        if networks:
            found.append(Front(cost, tuple(networks), tuple(front(networks))))
    return tuple(found)


def front(networks: Sequence[CostedNetwork]) -> list[CostedNetwork]:
    """Return the Pareto front: networks more accurate than all that cost no more, by cost."""
    ordered = sorted(networks, key=lambda w: w.attempt)
    return pareto_front(ordered, lambda w: w.cost, lambda w: w.accuracy.value)


def _costed(attempt: AttemptRecord, cost: str) -> CostedNetwork | None:
    evaluation, result = attempt.evaluation, attempt.result
    if evaluation is None or result is None:
        return None
    sizes = {PARAMETERS: evaluation.claimed_parameters, LATENCY: evaluation.claimed_latency_ms}
    size = sizes[cost]
    if not size or size <= 0:
        return None
    admitted = attempt.state == "admitted"
    return CostedNetwork(attempt.id, attempt.arm, admitted, size, accuracy(*result))
