"""The networks that no other beats in both accuracy and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nngpt.records import Arm
from nngpt.statistics import Estimate, accuracy
from nngpt.store import AttemptRecord

PARAMETERS, LATENCY = "parameters", "latency, ms"


@dataclass(frozen=True)
class Weighed:
    """A trained network: accuracy against a cost that its own process claimed."""

    attempt: int
    arm: Arm
    admitted: bool
    cost: float
    accuracy: Estimate


@dataclass(frozen=True)
class Front:
    """All trained networks by one cost, and those on the front in the order of cost."""

    cost: str
    networks: tuple[Weighed, ...]
    front: tuple[Weighed, ...]


def fronts(attempts: Sequence[AttemptRecord]) -> tuple[Front, ...]:
    """Accuracy against parameters, and against latency where it was measured."""
    found = []
    for cost in (PARAMETERS, LATENCY):
        networks = [w for w in (_weighed(a, cost) for a in attempts) if w is not None]
        if networks:
            found.append(Front(cost, tuple(networks), tuple(front(networks))))
    return tuple(found)


def front(networks: Sequence[Weighed]) -> list[Weighed]:
    """Those that are more accurate than all that cost no more, cheapest first."""
    ordered = sorted(networks, key=lambda w: (w.cost, -w.accuracy.value, w.attempt))
    kept: list[Weighed] = []
    for one in ordered:
        if not kept or one.accuracy.value > kept[-1].accuracy.value:
            kept.append(one)
    return kept


def _weighed(attempt: AttemptRecord, cost: str) -> Weighed | None:
    evaluation = attempt.evaluation
    if evaluation is None:
        return None
    size: float | None = evaluation.claimed_parameters
    if cost == LATENCY:
        size = evaluation.claimed_latency_ms
    if not size or size <= 0:
        return None
    images = evaluation.epochs[-1].total
    return Weighed(
        attempt=attempt.id,
        arm=attempt.arm,
        admitted=attempt.state == "admitted",
        cost=size,
        accuracy=accuracy(evaluation.accuracy, images),
    )
