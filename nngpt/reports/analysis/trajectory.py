"""A run cycle by cycle, and how many of what was written passed each gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.records import Arm, Stage, State
from nngpt.reports.analysis.novelty import Place
from nngpt.statistics import Estimate, accuracy, mean, median, share
from nngpt.store import AttemptRecord, CycleSummary


@dataclass(frozen=True)
class CyclePoint:
    """One arm's cycle: first answers, raw (invariant 7); repairs are counted apart.

    Attributes:
        how: mode in which was written, and whether under a constraint.
        adapter: who wrote; None for the bare model or a control without one.
        written: first answers that are decided: admitted, refused or trained.
        open: first answers that are not decided yet; no figure counts them.
        valid: share of the written that was built, trained and judged.
        accuracies: of the valid ones, in the order of writing.
        best: highest accuracy, with the interval of its images only.
        above_trained: share of the trained that reached the threshold (the papers' figure).
        above_written: the same of all written, which failing cannot flatter.
        corpus: what the LLM learns from after the cycle: initial pairs and all admitted so far,
            repairs included; None for a control.
        likeness: mean similarity of the trained to what is nearest, in the corpus or before them.
        alarm: what collapsed, "" if nothing did.
    """

    arm: Arm
    cycle: int
    how: str
    adapter: str | None
    written: int
    open: int
    valid: Estimate | None
    accuracies: tuple[float, ...]
    best: Estimate | None
    mean: Estimate | None
    median: Estimate | None
    above_trained: Estimate | None
    above_written: Estimate | None
    admitted: int
    refused: Mapping[Stage, int]
    corpus: int | None
    repairs: int
    repairs_valid: int
    repairs_admitted: int
    likeness: Estimate | None
    alarm: str
    skipped: str


@dataclass(frozen=True)
class Gate:
    """How many of an arm's first answers are left after a gate; None is the beginning."""

    stage: Stage | None
    left: int
    share: Estimate


def trajectory(
    summaries: Sequence[CycleSummary],
    attempts: Sequence[AttemptRecord],
    places: Sequence[Place],
    threshold: float,
    initial: int,
) -> tuple[CyclePoint, ...]:
    """One arm's cycles in order.

    Args:
        summaries: the arm's.
        attempts: the arm's, repairs included.
        places: of any arm's networks.
        threshold: accuracy for admission, 0…1.
        initial: training pairs that were there before the run.
    """
    points, corpus = [], initial
    for summary in summaries:
        mine = [a for a in attempts if a.cycle == summary.cycle]
        corpus += summary.admitted + summary.repairs_admitted
        near = [p.jaccard for p in places if p.arm is summary.arm and p.cycle == summary.cycle]
        known = corpus if summary.arm is Arm.LOOP else None
        points.append(_point(summary, mine, near, threshold, known))
    return tuple(points)


def decided(attempt: AttemptRecord) -> bool:
    """True if a first answer can be counted: the rest of its way does not change whether it ran."""
    return not attempt.repairs and (attempt.settled or attempt.evaluation is not None)


def funnel(attempts: Sequence[AttemptRecord]) -> tuple[Gate, ...]:
    """One arm's first answers gate by gate; () if nothing is settled."""
    settled = [a for a in attempts if a.settled and not a.repairs]
    if not settled:
        return ()
    refused = Counter(a.refusal.stage for a in settled if a.refusal is not None)
    left = total = len(settled)
    gates = [_gate(None, left, total)]
    for stage in Stage:
        left -= refused[stage]
        gates.append(_gate(stage, left, total))
    return tuple(gates)


def _gate(stage: Stage | None, left: int, total: int) -> Gate:
    found = share(left, total)
    assert found is not None
    return Gate(stage, left, found)


def _point(
    summary: CycleSummary,
    attempts: Sequence[AttemptRecord],
    near: Sequence[float | None],
    threshold: float,
    corpus: int | None,
) -> CyclePoint:
    first = [a for a in attempts if decided(a)]
    trained = [a.evaluation for a in first if a.evaluation is not None]
    accuracies = tuple(e.accuracy for e in trained)
    above = sum(value >= threshold for value in accuracies)
    top = max(trained, key=lambda e: e.accuracy, default=None)
    return CyclePoint(
        arm=summary.arm,
        cycle=summary.cycle,
        how=summary.how,
        adapter=summary.adapter,
        written=len(first),
        open=sum(not a.repairs for a in attempts) - len(first),
        valid=share(len(trained), len(first)),
        accuracies=accuracies,
        best=accuracy(top.accuracy, top.epochs[-1].total) if top else None,
        mean=mean(accuracies),
        median=median(accuracies),
        above_trained=share(above, len(trained)),
        above_written=share(above, len(first)),
        admitted=sum(a.state == State.ADMITTED for a in first),
        refused=summary.refused,
        corpus=corpus,
        repairs=summary.repairs,
        repairs_valid=summary.repairs_valid,
        repairs_admitted=summary.repairs_admitted,
        likeness=mean([value for value in near if value is not None]),
        alarm=summary.alarm,
        skipped=summary.skipped,
    )
