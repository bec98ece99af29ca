"""The lineage of a run's adapters: parents, training, and what each wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Adapter, Arm
from nngpt.reports.analysis.trajectory import decided
from nngpt.statistics import Estimate, mean, share
from nngpt.store import AttemptRecord


@dataclass(frozen=True)
class LineageNode:
    """The base model or an adapter, with what it wrote in the loop.

    Attributes:
        name: name of the adapter, or `BASE_MODEL`.
        cycle: cycle at whose end it was trained, None if it is older than the run.
        parent: name of the node that its training started from, None if older than the run.
        adapter: facts of its training, None if older than the run.
        wrote: number of first answers in the loop; `valid` is the share that was trained.
        mean: mean accuracy of the trained ones.
    """

    name: str
    cycle: int | None
    parent: str | None
    adapter: Adapter | None
    wrote: int
    valid: Estimate | None
    mean: Estimate | None


BASE_MODEL = "base model"


def genealogy(
    adapters: Mapping[int, Adapter], attempts: Sequence[AttemptRecord]
) -> tuple[LineageNode, ...]:
    """Return the lineage: nodes older than the run, then its adapters; `adapters` is by cycle."""
    first = [a for a in attempts if a.arm is Arm.LOOP and decided(a)]
    trained = {adapter.name for adapter in adapters.values()}
    asked = [a.completion.adapter or BASE_MODEL for a in first]
    parents = [adapter.parent or BASE_MODEL for adapter in adapters.values()]
    roots = [name for name in dict.fromkeys([*asked, *parents]) if name not in trained]
    nodes = [_node(name, None, None, first) for name in roots]
    nodes += [_node(a.name, cycle, a, first) for cycle, a in sorted(adapters.items())]
    return tuple(nodes)


def _node(
    name: str, cycle: int | None, adapter: Adapter | None, first: Sequence[AttemptRecord]
) -> LineageNode:
    mine = [a for a in first if (a.completion.adapter or BASE_MODEL) == name]
    accuracies = [a.evaluation.accuracy for a in mine if a.evaluation is not None]
    return LineageNode(
        name=name,
        cycle=cycle,
        parent=(adapter.parent or BASE_MODEL) if adapter else None,
        adapter=adapter,
        wrote=len(mine),
        valid=share(len(accuracies), len(mine)),
        mean=mean(accuracies),
    )
