"""The adapters of a run: whose children they are, what they learned, and what they wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Adapter, Arm
from nngpt.reports.analysis.trajectory import decided
from nngpt.statistics import Estimate, mean, share
from nngpt.store import AttemptRecord


@dataclass(frozen=True)
class Writer:
    """Someone who wrote in the loop, or an adapter that may yet.

    Attributes:
        name: of the adapter; "base model" for the bare one.
        cycle: at whose end it was trained; None if it was there before the run.
        parent: name of the writer that its training started from, None if it was there before.
        adapter: the training's facts, None likewise.
        wrote: how many first answers of the loop.
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
) -> tuple[Writer, ...]:
    """Who was there before the run and wrote or was learned from, then the adapters by cycle.

    Args:
        adapters: by the cycle that trained them.
        attempts: of the run.
    """
    first = [a for a in attempts if a.arm is Arm.LOOP and decided(a)]
    trained = {adapter.name for adapter in adapters.values()}
    asked = [a.completion.adapter or BASE_MODEL for a in first]
    parents = [adapter.parent or BASE_MODEL for adapter in adapters.values()]
    roots = [name for name in dict.fromkeys([*asked, *parents]) if name not in trained]
    writers = [_writer(name, None, None, first) for name in roots]
    writers += [_writer(a.name, cycle, a, first) for cycle, a in sorted(adapters.items())]
    return tuple(writers)


def _writer(
    name: str, cycle: int | None, adapter: Adapter | None, first: Sequence[AttemptRecord]
) -> Writer:
    mine = [a for a in first if (a.completion.adapter or BASE_MODEL) == name]
    accuracies = [a.evaluation.accuracy for a in mine if a.evaluation is not None]
    return Writer(
        name=name,
        cycle=cycle,
        parent=(adapter.parent or BASE_MODEL) if adapter else None,
        adapter=adapter,
        wrote=len(mine),
        valid=share(len(accuracies), len(mine)),
        mean=mean(accuracies),
    )
