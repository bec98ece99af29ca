"""The candidates on the live page: strip of the last cycle, feed, best, all, one in full, two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from nngpt.generation import modes
from nngpt.novelty.dedup.collection import Network
from nngpt.records import Arm, Stage, State
from nngpt.reports.attempts import attempt_facts
from nngpt.reports.diff import marked_diff
from nngpt.reports.live.overview import accuracy
from nngpt.reports.sheets import Row
from nngpt.reports.text import ARM_TITLES, STATES, accuracy_of, amount, block, line, standing
from nngpt.store import AttemptRecord, CycleSummary, Store
from nngpt.store.queries import ACCURACY
from nngpt.store.tables import Attempt, TransitionRow

_SETTLED = (State.ADMITTED, State.REFUSED)
OPEN = "open"
STANDINGS = (OPEN, *_SETTLED)
"""What the list of all candidates can be filtered by, besides the arm."""

_PAGE = 25
_FEED = 12
_BEST = 8

_CELL = ("id", "arm", "state", "refusal_stage", "repairs")


def cells(session: Session, run_id: int, cycle: int) -> list[Any]:
    """Return a few columns of a cycle's candidates for the live page, in the order of writing."""
    columns = [*(getattr(Attempt, name) for name in _CELL), ACCURACY]
    mine = (Attempt.run_id == run_id, Attempt.cycle == cycle)
    return list(session.execute(select(*columns).where(*mine).order_by(Attempt.id)))


def undecided(rows: Sequence[Any]) -> dict[Arm, int]:
    """Return the number of candidates without a decision by arm, for the live page."""
    found = dict.fromkeys(Arm, 0)
    for row in rows:
        if not row.repairs and row.accuracy is None and row.state not in _SETTLED:
            found[Arm(row.arm)] += 1
    return found


def strip(
    rows: Sequence[Any],
    summaries: Mapping[Arm, Sequence[CycleSummary]],
    planned: Mapping[Arm, int],
) -> list[dict[str, Any]]:
    """Return the cells of the live page's candidates by arm, and the number to expect.

    As many are expected as are planned or, without a plan, as the arm wrote in the last cycle.
    """
    result = []
    for arm, found in summaries.items():
        mine = [_cell(row) for row in rows if row.arm == arm]
        earlier = [s.generated for s in found if s.closed] or [0]
        expected = planned[arm] or earlier[-1]
        result.append({"arm": arm, "cells": mine, "expected": max(expected, len(mine))})
    return result


def _cell(row: Any) -> dict[str, Any]:
    stage = Stage(row.refusal_stage) if row.refusal_stage else None
    repair = ", a repair" if row.repairs else ""
    text = f"#{row.id}{repair}: {standing(State(row.state), stage)}"
    if row.accuracy is not None:
        text += f", accuracy {accuracy_of(row.accuracy)}"
    head = {"id": row.id, "state": row.state, "stage": stage}
    return {**head, "repair": bool(row.repairs), "text": text}


def latest(session: Session, run_id: int) -> list[int]:
    """Return the ids of the candidates settled last, newest first, for the live page."""
    settled = _newest(TransitionRow.attempt_id, run_id).where(TransitionRow.after.in_(_SETTLED))
    return list(session.scalars(settled.limit(_FEED)))


def best(session: Session, run_id: int) -> list[int]:
    """Return the ids of the most accurate admitted networks of all arms, for the live page."""
    query = select(Attempt.id).where(Attempt.run_id == run_id, Attempt.state == State.ADMITTED)
    ordered = query.order_by(ACCURACY.desc(), Attempt.id)
    return list(session.scalars(ordered.limit(_BEST)))


def matching(
    session: Session, run_id: int, arm: str, standing: str, page: int
) -> tuple[list[int], int]:
    """Return the ids on a page, from 0, of the live page's list, newest first, and how many match.

    `arm` and `standing` are those wanted, "" for any.
    """
    query = select(Attempt.id).where(Attempt.run_id == run_id)
    if arm:
        query = query.where(Attempt.arm == arm)
    if standing == OPEN:
        query = query.where(Attempt.state.not_in(_SETTLED))
    elif standing:
        query = query.where(Attempt.state == standing)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    shown = query.order_by(Attempt.id.desc()).offset(page * _PAGE).limit(_PAGE)
    return list(session.scalars(shown)), total


def last_change(session: Session, run_id: int) -> str | None:
    """Return when a candidate of the live page last changed state (ISO 8601), None if never."""
    at: str | None = session.scalar(_newest(TransitionRow.at, run_id).limit(1))
    return at


def _newest(column: Any, run_id: int) -> Select[Any]:
    query = select(column).join(Attempt, Attempt.id == TransitionRow.attempt_id)
    return query.where(Attempt.run_id == run_id).order_by(TransitionRow.id.desc())


def csv_row(attempt: AttemptRecord) -> Row:
    """Return a candidate as a row of the CSV file of all, which the live page links to."""
    refusal, evaluation, result = attempt.refusal, attempt.evaluation, attempt.result
    return {
        "attempt": attempt.id,
        "arm": attempt.arm,
        "cycle": attempt.cycle,
        "repairs": attempt.repaired_from,
        "state": attempt.state,
        "refused_at": refusal.stage if refusal else "",
        "reason": line(refusal.reason) if refusal else "",
        "accuracy": result.accuracy if result else None,
        "images": result.images if result else None,
        "parameters": evaluation.claimed_parameters if evaluation else None,
        "seconds": evaluation.seconds if evaluation else None,
        "jaccard": attempt.novelty.jaccard if attempt.novelty else None,
        "adapter": attempt.completion.adapter or "",
    }


def item(attempt: AttemptRecord) -> dict[str, Any]:
    """Return a candidate for a list on the live page; a settled one does not change any more."""
    refusal, evaluation = attempt.refusal, attempt.evaluation
    near = f"nearest: Jaccard {attempt.novelty.jaccard:.2f}" if attempt.novelty else ""
    return {
        **_head(attempt),
        "repairs": attempt.repaired_from,
        "verdict": f"refused at {refusal.stage}" if refusal else STATES[attempt.state],
        "reason": line(refusal.reason) if refusal else near,
        "parameters": amount(evaluation.claimed_parameters) if evaluation else "",
        "at": attempt.updated,
    }


def detail(store: Store, attempt: AttemptRecord) -> dict[str, Any]:
    """Return all facts about one candidate for the live page."""
    candidate, refusal = attempt.candidate, attempt.refusal
    title = "The answer"
    if attempt.arm is Arm.CORPUS:
        title = "The corpus network as changed"
    if candidate is not None:
        title = "The network"
    changed = candidate.written if candidate and modes.load(attempt.mode).changes_parent else ""
    found = attempt.evaluation
    curve = zip(found.epochs, found.curve, strict=True) if found else ()
    facts = ([name, line(value)] for name, value in attempt_facts(attempt))
    return {
        **_head(attempt),
        "verdict": _verdict(attempt),
        "reason": line(refusal.reason) if refusal else "",
        "refusal": block(refusal.detail) if refusal else "",
        "facts": [["from", ARM_TITLES[attempt.arm]], *facts],
        "curve": [
            {"epoch": e.epoch, "seconds": f"{e.seconds:.1f} s", **accuracy(result)}
            for e, result in curve
        ],
        "trail": [
            {"state": STATES[step.after], "at": step.at} for step in store.transitions(attempt.id)
        ],
        "changed": block(changed),
        "title": title,
        "code": _code(attempt),
    }


def comparison(pair: Sequence[AttemptRecord]) -> dict[str, Any]:
    """Return two candidates' facts and the diff of their code for the live page."""
    columns = [
        {"verdict": _verdict(a), "accuracy": _head(a)["accuracy"], **dict(attempt_facts(a))}
        for a in pair
    ]
    names = dict.fromkeys(name for column in columns for name in column)
    one, other = (Network(f"#{a.id}", _code(a), "") for a in pair)
    return {
        "pair": [_head(attempt) for attempt in pair],
        "facts": [[name, *(line(c.get(name) or "–") for c in columns)] for name in names],
        "diff": [asdict(found) for found in marked_diff(one, other)],
    }


def _verdict(attempt: AttemptRecord) -> str:
    return standing(attempt.state, attempt.refusal.stage if attempt.refusal else None)


def _code(attempt: AttemptRecord) -> str:
    """Return a candidate's code, or the answer without one, as text that shows its controls."""
    candidate = attempt.candidate
    return block(candidate.code if candidate else attempt.completion.text)


def _head(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "id": attempt.id,
        "arm": attempt.arm,
        "cycle": attempt.cycle,
        "state": attempt.state,
        "stage": attempt.refusal.stage if attempt.refusal else None,
        "accuracy": accuracy_of(*attempt.result) if attempt.result else "",
    }
