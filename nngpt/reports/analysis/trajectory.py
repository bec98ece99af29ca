"""A run's figures by cycle, and how many answers pass each gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nngpt.generation.contract.answers import gives_settings
from nngpt.records import Arm, Stage, State
from nngpt.reports.analysis.novelty import NetworkPlace
from nngpt.statistics import Estimate, accuracy, mean, median, share
from nngpt.store import AttemptRecord, CycleSummary

_FAILED = (Stage.BUILD, Stage.FORWARD, Stage.TRAIN, Stage.JUDGE)


@dataclass(frozen=True)
class CyclePoint:
    """Figures of an arm's first answers in one cycle (invariant "Raw numbers"), repairs apart.

    Attributes:
        how: prompt mode, and whether decoding was constrained.
        adapter: adapter that wrote, None for the base model or a control without one.
        written: number of first answers that are decided: admitted, refused or trained.
        open: number of undecided first answers, which no figure counts.
        valid: share of `written` that was built, trained and judged.
        valid_or_copy: the same share with exact copies of networks that train, which are not
            trained again (the papers' figure).
        settings_ignored: number of `written` with settings, which the protocol passed over.
        accuracies: accuracies of the valid ones, in the order of writing.
        best: highest accuracy that counts; as the best of many it looks better than it is.
        retrained: True if nngpt's own loop trained any network again, so that `best` and the other
            figures, which are of the first trainings, may be of different trainings.
        above_trained: share of the valid ones at or above the threshold (the papers' figure).
        above_written: the same share of `written`, which failing on hard cases cannot raise.
        corpus: size of the LLM's training set after the cycle: initial pairs and all networks
            admitted so far, repairs included, held-out ones not; None for a control.
        likeness: mean similarity of the trained networks to their nearest known one.
        alarm: the collapse that was detected, "" if none.
        skipped: why no adapter was trained, "" if one was.
        held_out_first: mean loss per token of the held-out networks before the fine-tuning at the
            end of the cycle, None if not measured; `held_out_last`: after it.
    """

    arm: Arm
    cycle: int
    how: str
    adapter: str | None
    written: int
    open: int
    valid: Estimate | None
    valid_or_copy: Estimate | None
    settings_ignored: int
    accuracies: tuple[float, ...]
    best: Estimate | None
    mean: Estimate | None
    median: Estimate | None
    above_trained: Estimate | None
    above_written: Estimate | None
    admitted: int
    refused: Mapping[Stage, int]
    corpus: int | None
    random_changes: int
    repairs: int
    repairs_valid: int
    repairs_admitted: int
    likeness: Estimate | None
    alarm: str
    skipped: str
    retrained: bool
    held_out_first: float | None
    held_out_last: float | None


@dataclass(frozen=True)
class Gate:
    """A gate (`stage` None: the beginning): first answers refused, and number and share left."""

    stage: Stage | None
    refused: int
    left: int
    share: Estimate


def trajectory(
    summaries: Sequence[CycleSummary],
    attempts: Sequence[AttemptRecord],
    places: Sequence[NetworkPlace],
    threshold: float,
    initial: int,
    fixed: bool = False,
) -> tuple[CyclePoint, ...]:
    """Return the trajectory of an arm: the figures of each of its cycles, in order.

    `attempts` are the arm's, repairs included, `places` those of all arms; `threshold` is that of
    admission, 0…1; `initial` is the number of training pairs older than the run; `fixed` tells
    whether answers' settings were passed over (`evaluation.fixed`).
    """
    failed = {a.content_hash for a in attempts if a.refusal and a.refusal.stage in _FAILED}
    points, corpus, held_out = [], initial, 0
    for summary in summaries:
        mine = [a for a in attempts if a.cycle == summary.cycle]
        corpus += summary.admitted + summary.repairs_admitted
        near = [p.jaccard for p in places if p.arm is summary.arm and p.cycle == summary.cycle]
        held_out = summary.held_out or held_out
        known = corpus - held_out if summary.arm is Arm.LOOP else None
        copies = sum(_is_copy(a) and a.content_hash not in failed for a in mine)
        points.append(_point(summary, mine, near, threshold, known, copies, fixed))
    return tuple(points)


def decided(attempt: AttemptRecord) -> bool:
    """Return True for a first answer that a trajectory counts: its validity is known."""
    return not attempt.repairs and (attempt.settled or attempt.evaluation is not None)


def funnel(summaries: Sequence[CycleSummary]) -> tuple[Gate, ...]:
    """Return how many first answers of an arm's trajectory pass each gate; () if none."""
    refused = Counter[Stage]()
    for summary in summaries:
        refused.update(summary.refused)
    left = total = refused.total() + sum(s.admitted for s in summaries)
    gates = []
    for stage in (None, *Stage):
        gone = refused[stage] if stage else 0
        left -= gone
        if (found := share(left, total)) is not None:
            gates.append(Gate(stage, gone, left, found))
    return tuple(gates)


def valid_over_cycles(points: Sequence[CyclePoint]) -> tuple[Estimate | None, Estimate | None]:
    """Return the mean over cycles of the valid share, without and with copies (the papers' way)."""
    with_copies = [p.valid_or_copy.value for p in points if p.valid_or_copy]
    return mean([p.valid.value for p in points if p.valid]), mean(with_copies)


def _is_copy(attempt: AttemptRecord) -> bool:
    """Return whether a first answer is an exact copy of a known network."""
    refusal = attempt.refusal
    return not attempt.repairs and refusal is not None and refusal.stage is Stage.DUPLICATE


def _point(
    summary: CycleSummary,
    attempts: Sequence[AttemptRecord],
    near: Sequence[float | None],
    threshold: float,
    corpus: int | None,
    copies: int,
    fixed: bool,
) -> CyclePoint:
    first = [a for a in attempts if decided(a)]
    trained = [a.evaluation for a in first if a.evaluation is not None]
    accuracies = tuple(e.accuracy for e in trained)
    above = sum(value >= threshold for value in accuracies)
    best = max((a.result for a in first if a.result is not None), default=None)
    same = (
        *("arm", "cycle", "how", "adapter", "refused", "alarm", "skipped", "retrained"),
        *("repairs", "repairs_valid", "repairs_admitted", "held_out_first", "held_out_last"),
        "random_changes",
    )
    return CyclePoint(
        **{name: getattr(summary, name) for name in same},
        written=len(first),
        open=sum(not a.repairs for a in attempts) - len(first),
        valid=share(len(trained), len(first)),
        valid_or_copy=share(len(trained) + copies, len(first)),
        settings_ignored=sum(fixed and gives_settings(a.completion.text) for a in first),
        accuracies=accuracies,
        best=accuracy(*best) if best else None,
        mean=mean(accuracies),
        median=median(accuracies),
        above_trained=share(above, len(trained)),
        above_written=share(above, len(first)),
        admitted=sum(a.state == State.ADMITTED for a in first),
        corpus=corpus,
        likeness=mean([value for value in near if value is not None]),
    )
