"""Read attempts and summaries of cycles from the database, within an open session."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import bindparam, case, func, or_, select
from sqlalchemy.orm import Session, selectinload

from nngpt.records import RANDOM_CHANGE, Arm, Result, Stage, State
from nngpt.store.row_mapping import to_attempt
from nngpt.store.states import OPEN
from nngpt.store.tables import AdapterRow, Attempt, ClosedCycle, Run
from nngpt.store.views import AttemptRecord, CycleSummary, Outcome

_BEFORE_VALIDATED = (State.GENERATED, State.PARSED)
_GATES_BEFORE_TRAINING = (Stage.PARSE, Stage.CONTRACT, Stage.SAFETY, Stage.DUPLICATE)

_Row = TypeVar("_Row", AdapterRow, ClosedCycle)

_TRAINED = func.coalesce(Attempt.retrained_accuracy, Attempt.accuracy)
ACCURACY = case((Attempt.refusal_stage.is_distinct_from(Stage.TRAIN), _TRAINED), else_=None).label(
    "accuracy"
)
"""The accuracy that counts, as `AttemptRecord.result` has it."""

_SUMMARY_COLUMNS = (
    Attempt.id,
    ACCURACY.label("best"),
    Attempt.retrained_accuracy,
    Attempt.cycle,
    Attempt.mode,
    Attempt.state,
    Attempt.content_hash,
    Attempt.accuracy,
    Attempt.refusal_stage,
    Attempt.adapter,
    Attempt.model,
    Attempt.repairs,
    Attempt.generation_s,
    Attempt.evaluation_s,
)


_KNOWN_HASH = select(func.min(Attempt.id)).where(
    Attempt.run_id == bindparam("run"),
    Attempt.arm == bindparam("arm"),
    Attempt.content_hash == bindparam("hash"),
    Attempt.state.not_in(_BEFORE_VALIDATED),
    or_(Attempt.refusal_stage.is_(None), Attempt.refusal_stage.not_in(_GATES_BEFORE_TRAINING)),
)


def attempts(
    session: Session,
    run_id: int,
    *,
    cycle: int | None = None,
    upto_cycle: int | None = None,
    states: Iterable[State] | None = None,
    arm: Arm | None = None,
    ids: Collection[int] | None = None,
    with_code: bool = False,
) -> list[AttemptRecord]:
    """Return a run's attempts that match every given filter, in the order of generation."""
    query = select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.id)
    if cycle is not None:
        query = query.where(Attempt.cycle == cycle)
    if upto_cycle is not None:
        query = query.where(Attempt.cycle <= upto_cycle)
    if states is not None:
        query = query.where(Attempt.state.in_(list(states)))
    if arm is not None:
        query = query.where(Attempt.arm == arm)
    if ids is not None:
        query = query.where(Attempt.id.in_(ids))
    query = query.options(selectinload(Attempt.epochs))
    if with_code:
        query = query.options(selectinload(Attempt.source))
    return [to_attempt(row, with_code) for row in session.scalars(query)]


def known_hash(session: Session, run_id: int, content_hash: str, arm: Arm) -> int | None:
    """Return the id of an arm's first attempt with this code that reached training."""
    values = {"run": run_id, "arm": arm, "hash": content_hash}
    return session.connection().scalar(_KNOWN_HASH, values)


def outcomes(session: Session, run_id: int) -> list[Outcome]:
    """Return what came of each first answer of a run, by cycle and in the order of generation."""
    columns = (Attempt.arm, Attempt.cycle, Attempt.accuracy, Attempt.state)
    query = select(*columns).where(Attempt.run_id == run_id, Attempt.repairs == 0)
    return [
        Outcome(Arm(arm), cycle, accuracy, accuracy is not None or state not in OPEN)
        for arm, cycle, accuracy, state in session.execute(
            query.order_by(Attempt.cycle, Attempt.id)
        )
    ]


def summary(session: Session, run_id: int, arm: Arm) -> list[CycleSummary]:
    """Query one summary per cycle of a run in which the arm generated anything, in order."""
    mine = (Attempt.run_id == run_id, Attempt.arm == arm)
    query = select(*_SUMMARY_COLUMNS).where(*mine).order_by(Attempt.id)
    cycles: dict[int, list[Any]] = {}
    for row in session.execute(query):
        cycles.setdefault(row.cycle, []).append(row)
    # Controls train no adapter.
    adapters = _by_cycle(session, AdapterRow, run_id) if arm is Arm.LOOP else {}
    closed = _by_cycle(session, ClosedCycle, run_id)
    config = json.loads(session.scalar(select(Run.config).where(Run.id == run_id)) or "{}")
    best = _best(session, run_id, cycles)
    return [
        _summarise(
            cycle, arm, rows, best.get(cycle), adapters.get(cycle), closed.get(cycle), config
        )
        for cycle, rows in sorted(cycles.items())
    ]


def _best(
    session: Session, run_id: int, cycles: Mapping[int, Sequence[Any]]
) -> dict[int, Result | None]:
    """Return the highest result that counts in each cycle that has one, repairs apart."""
    ids = {}
    for cycle, rows in cycles.items():
        if counted := [row for row in rows if row.best is not None and not row.repairs]:
            ids[cycle] = max(counted, key=lambda row: row.best).id
    found = {a.id: a.result for a in attempts(session, run_id, ids=ids.values())}
    return {cycle: found[i] for cycle, i in ids.items()}


def _by_cycle(session: Session, table: type[_Row], run_id: int) -> dict[int, _Row]:
    rows = session.scalars(select(table).where(table.run_id == run_id))
    return {row.cycle: row for row in rows}


def _summarise(
    cycle: int,
    arm: Arm,
    rows: Sequence[Any],
    best: Result | None,
    adapter: AdapterRow | None,
    closed: ClosedCycle | None,
    config: Mapping[str, Any],
) -> CycleSummary:
    threshold = config.get("task", {}).get("threshold", 0.0)
    first, repairs = ([r for r in rows if bool(r.repairs) is which] for which in (False, True))
    accuracies = tuple(row.accuracy for row in first if row.accuracy is not None)
    refused = Counter(Stage(row.refusal_stage) for row in first if row.refusal_stage is not None)
    return CycleSummary(
        cycle=cycle,
        mode=rows[0].mode,
        generated=len(first),
        parsed=sum(row.content_hash is not None for row in first),
        valid=len(accuracies),
        admitted=sum(row.state == State.ADMITTED for row in first),
        open=sum(row.state in OPEN for row in rows),
        refused={stage: refused[stage] for stage in Stage if refused[stage]},
        accuracies=accuracies,
        best=best,
        retrained=any(row.retrained_accuracy is not None for row in first),
        seconds={
            "generation": sum(row.generation_s for row in rows),
            "evaluation": sum(row.evaluation_s or 0.0 for row in rows),
            "learning": adapter.seconds if adapter else 0.0,
        },
        adapter=rows[0].adapter,
        closed=closed is not None,
        learned=adapter.name if adapter else None,
        skipped=closed.reason if closed else "",
        random_changes=sum(row.model == RANDOM_CHANGE for row in first),
        repairs=len(repairs),
        repairs_valid=sum(row.accuracy is not None for row in repairs),
        repairs_admitted=sum(row.state == State.ADMITTED for row in repairs),
        # Configurations of older runs lack this key.
        constrained=bool(config.get("sampling", {}).get("constrain", False)),
        above=sum(accuracy >= threshold for accuracy in accuracies),
        arm=arm,
        alarm=closed.alarm if closed else "",
        held_out=adapter.held_out if adapter else 0,
        held_out_first=adapter.held_out_first if adapter else None,
        held_out_last=adapter.held_out_last if adapter else None,
    )
