"""State machine of attempts and runs: allowed transitions, recording them, updating a run.

Every transition is one guarded update ("Nothing lost, nothing twice", docs/design.md). Its
statements are constants: making them anew would take longer than SQLite needs for them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from nngpt.errors import StoreError
from nngpt.records import State
from nngpt.store.database import IllegalWriteError
from nngpt.store.tables import Attempt, Run, TransitionRow

OPEN = tuple(state for state in State if state not in (State.ADMITTED, State.REFUSED))
"""States that are not final."""

_BEFORE: dict[State, tuple[State, ...]] = {
    State.PARSED: (State.GENERATED,),
    State.VALIDATED: (State.PARSED,),
    State.TRAINING: (State.VALIDATED,),
    State.TRAINED: (State.TRAINING,),
    State.JUDGED: (State.TRAINED,),
    State.ADMITTED: (State.JUDGED,),
    State.REFUSED: OPEN,
}

_ATTEMPT = Attempt.__table__
_FIND = select(_ATTEMPT.c.state).where(
    _ATTEMPT.c.id == bindparam("attempt"), _ATTEMPT.c.run_id == bindparam("run")
)
_MOVE = update(Attempt.__table__).where(  # type: ignore[arg-type]
    _ATTEMPT.c.id == bindparam("attempt"), _ATTEMPT.c.state == bindparam("before")
)
_RECORD = insert(TransitionRow.__table__)  # type: ignore[arg-type]


def advance(
    session: Session, run_id: int, fence: int, attempt_id: int, after: State, **values: Any
) -> None:
    """Move an attempt to the state `after`, set the columns in `values`, record the transition.

    Raises:
        IllegalWriteError: the run has no such attempt, or its state does not lead to `after`.
    """
    before = session.connection().scalar(_FIND, {"attempt": attempt_id, "run": run_id})
    if before not in _BEFORE[after]:
        found = f"is {before}" if before else "does not exist"
        raise IllegalWriteError(f"attempt {attempt_id} {found} and cannot become {after}")
    move(session, fence, attempt_id, State(before), after, **values)


def move(
    session: Session, fence: int, attempt_id: int, before: State, after: State, **values: Any
) -> None:
    """Change an attempt's state from `before` to `after`; the table of transitions is not checked.

    Raises:
        IllegalWriteError: the attempt is in another state by now.
    """
    values = {**values, "state": after, "updated": now()}
    which = {"attempt": attempt_id, "before": before}
    if not session.connection().execute(_MOVE, {**values, **which}).rowcount:
        raise IllegalWriteError(f"attempt {attempt_id} is no longer {before}")
    record_transition(session, fence, attempt_id, before, after)


def record_transition(
    session: Session, fence: int, attempt_id: int, before: State | None, after: State
) -> None:
    """Append a change of an attempt's state to its audit trail."""
    row = {"attempt_id": attempt_id, "before": before, "after": after, "at": now(), "fence": fence}
    session.connection().execute(_RECORD, row)


def update_run(session: Session, run_id: int, where: str, **values: Any) -> int:
    """Update a run whose state is not archived, and return its fence.

    Raises:
        StoreError: the run is archived or does not exist; `where` is the database.
    """
    fence = session.scalar(
        update(Run)
        .where(Run.id == run_id, Run.status != "archived")
        .values(updated=now(), **values)
        .returning(Run.fence)
        .execution_options(synchronize_session=False)
    )
    if fence is None:
        raise StoreError(f"run {run_id} is archived or does not exist", where=where)
    return fence


def now() -> str:
    """Return the time of a transition: the current UTC time, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
