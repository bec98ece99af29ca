"""Write to a run: the lease that a process holds, and every change of its attempts.

Each method is one transaction, or part of the one of `Lease.together`. A transaction first compares
the run's fence with the lease's, so a process that was presumed dead and replaced cannot write any
more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from nngpt.errors import StoreError
from nngpt.records import (
    Adapter,
    Arm,
    Candidate,
    Completion,
    Evaluation,
    Novelty,
    Prompt,
    Refusal,
    Retraining,
    State,
    Task,
    canonical_json,
)
from nngpt.store import row_mapping
from nngpt.store.database import Database, IllegalWriteError
from nngpt.store.lemur_rows import add_stat
from nngpt.store.lock import RunLock
from nngpt.store.states import OPEN, advance, move, now, record_transition, update_run
from nngpt.store.tables import (
    ActivityRow,
    AdapterRow,
    Admission,
    Attempt,
    ClosedCycle,
    ConfirmationRow,
    Epoch,
    ForecastRow,
    Run,
)
from nngpt.store.views import Activity, Confirmation, ForecastRecord

_FENCE = select(Run.__table__.c.fence).where(Run.__table__.c.id == bindparam("run"))
_ADD_EPOCHS = insert(Epoch.__table__)  # type: ignore[arg-type]
_ADMITTED = Attempt.__table__.c
_NETWORK = (_ADMITTED.run_id, _ADMITTED.arm, _ADMITTED.content_hash)
_COPIES = (
    select(func.count())
    .where(Admission.run_id == _NETWORK[0], Admission.arm == _NETWORK[1])
    .where(Admission.content_hash == _NETWORK[2])
    .scalar_subquery()
)
_ADMIT = insert(Admission.__table__).from_select(  # type: ignore[arg-type]
    ["run_id", "arm", "content_hash", "copy", "attempt_id"],
    select(*_NETWORK, _COPIES * bindparam("copies"), _ADMITTED.id).where(
        _ADMITTED.id == bindparam("attempt")
    ),
)


class Lease:
    """The exclusive right to write to a run; get it from `Store.lease`, use it in a `with`.

    Every writing method raises `StoreError` if another process has taken over, and
    `IllegalWriteError` (a bug in nngpt) if the attempt's state does not allow the transition.

    Attributes:
        run_id: id of the run.
        fence: number of this lease; the run's fence increases with each lease.
    """

    def __init__(self, database: Database, run_id: int, fence: int, held: ExitStack) -> None:
        self.run_id, self.fence = run_id, fence
        self._database, self._held = database, held
        self._session: Session | None = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lease of the run for other processes."""
        self._held.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Record all that the block records in one transaction: everything or nothing."""
        with self._write() as self._session:
            try:
                yield
            finally:
                self._session = None

    def add_completions(
        self,
        cycle: int,
        batch: int,
        prompt: Prompt,
        completions: Sequence[Completion],
        arm: Arm = Arm.LOOP,
    ) -> list[int]:
        """Store a whole generation batch, whose index counts from 0 within the cycle.

        Returns:
            The ids of the new attempts, in order.
        """
        if not completions:
            raise IllegalWriteError(f"cycle {cycle}, batch {batch}: no completions")
        with self._write() as session:
            self._expect_batch(session, cycle, batch)
            prompt_key = row_mapping.add_prompt(session, prompt)
            first = _count(session, Attempt.run_id == self.run_id, Attempt.cycle == cycle)
            rows = [
                Attempt(
                    run_id=self.run_id,
                    cycle=cycle,
                    batch=batch,
                    place=first + offset,
                    arm=arm,
                    prompt_hash=prompt_key,
                    mode=prompt.mode,
                    **row_mapping.generated_columns(completion),
                )
                for offset, completion in enumerate(completions)
            ]
            return self._add_attempts(session, rows)

    def add_repair(self, refused_id: int, prompt: Prompt, completion: Completion) -> int:
        """Store the LLM's answer to a refusal as a new attempt of the same cycle.

        A refused attempt is repaired once; the repair may be repaired again.

        Returns:
            The id of the new attempt.
        """
        with self._write() as session:
            refused = session.get(Attempt, refused_id)
            if refused is None or (refused.run_id, refused.state) != (self.run_id, State.REFUSED):
                raise IllegalWriteError(f"no refused attempt {refused_id} in this run")
            self._expect_unclosed(session, refused.cycle)
            mine = (Attempt.run_id == self.run_id, Attempt.cycle == refused.cycle)
            row = Attempt(
                run_id=self.run_id,
                cycle=refused.cycle,
                batch=refused.batch,
                place=_count(session, *mine),
                arm=refused.arm,
                prompt_hash=row_mapping.add_prompt(session, prompt),
                mode=prompt.mode,
                repairs=refused.repairs + 1,
                repaired_from=refused_id,
                **row_mapping.generated_columns(completion),
            )
            (number,) = self._add_attempts(session, [row])
            return number

    def parsed(self, attempt_id: int, candidate: Candidate) -> None:
        """Record generated → parsed, with the candidate parsed from the completion."""
        with self._write() as session:
            self._advance(
                session,
                attempt_id,
                State.PARSED,
                code_digest=row_mapping.add_code(session, candidate),
                **row_mapping.candidate_columns(candidate),
            )

    def validated(self, attempt_id: int) -> None:
        """Record parsed → validated: the candidate passed every gate before training."""
        with self._write() as session:
            self._advance(session, attempt_id, State.VALIDATED)

    def training(self, attempt_id: int) -> None:
        """Record validated → training; the next lease undoes it if this process dies."""
        with self._write() as session:
            self._advance(session, attempt_id, State.TRAINING)

    def put_back(self, attempt_id: int) -> None:
        """Record training → validated after the user stopped a training; not counted as a restart.

        For a judged attempt, cancel the start of its retraining.
        """
        with self._write() as session:
            if not self._count_retraining(session, attempt_id, -1):
                move(session, self.fence, attempt_id, State.TRAINING, State.VALIDATED)

    def retraining(self, attempt_id: int) -> None:
        """Count the start of a judged attempt's training by nngpt's own loop."""
        with self._write() as session:
            if not self._count_retraining(session, attempt_id, 1):
                raise IllegalWriteError(f"attempt {attempt_id} is not judged")

    def limit_time(self, limit_s: float) -> None:
        """Record the limit on the own seconds of the run's trainings."""
        with self._write() as session:
            session.execute(update(Run).where(Run.id == self.run_id).values(limit_s=limit_s))

    def describe_images(self, class_names: Sequence[str], digest: str) -> None:
        """Record the names of the run's classes, and the sha256 of its images and labels."""
        values = {"class_names": canonical_json(list(class_names)), "images_digest": digest}
        with self._write() as session:
            session.execute(update(Run).where(Run.id == self.run_id).values(values))

    def finish_run(self, ended: str = "") -> None:
        """Mark the run as done; `ended` is the reason, if it ended before its last cycle."""
        values = {"status": "done", "ended": ended, "updated": now()}
        with self._write() as session:
            session.execute(update(Run).where(Run.id == self.run_id).values(values))

    def trained(self, attempt_id: int, evaluation: Evaluation, task: Task) -> None:
        """Record training → trained, with the accuracies in nngpt's and LEMUR's tables."""
        with self._write() as session:
            columns = row_mapping.evaluation_columns(evaluation)
            self._advance(session, attempt_id, State.TRAINED, **columns)
            attempt = session.get_one(Attempt, attempt_id)
            ids = add_stat(session, attempt, evaluation, task)
            epochs = zip(evaluation.epochs, ids, strict=True)
            rows = [
                {"attempt_id": attempt_id, "stat_id": i, **vars(result)} for result, i in epochs
            ]
            session.connection().execute(_ADD_EPOCHS, rows)

    def judged(self, attempt_id: int, novelty: Novelty | None = None) -> None:
        """Record trained → judged, with the novelty measurement if there is one."""
        with self._write() as session:
            self._advance(session, attempt_id, State.JUDGED, **row_mapping.columns(novelty))

    def admit(
        self,
        attempt_id: int,
        novelty: Novelty | None = None,
        retraining: Retraining | None = None,
        copies: bool = False,
    ) -> None:
        """Record judged → admitted; code is admitted once per run and arm, unless with `copies`."""
        with self._write() as session:
            values = {**row_mapping.columns(novelty), **row_mapping.columns(retraining)}
            self._advance(session, attempt_id, State.ADMITTED, **values)
            session.connection().execute(_ADMIT, {"attempt": attempt_id, "copies": int(copies)})

    def refuse(
        self,
        attempt_id: int,
        refusal: Refusal,
        novelty: Novelty | None = None,
        retraining: Retraining | None = None,
    ) -> None:
        """Record the refusal of an open attempt, with what was measured of it."""
        columns: dict[str, Any] = {}
        for record in (refusal, novelty, retraining):
            columns |= row_mapping.columns(record)
        with self._write() as session:
            self._advance(session, attempt_id, State.REFUSED, **columns)

    def add_adapter(self, cycle: int, adapter: Adapter, alarm: str = "") -> None:
        """Close a cycle with the adapter it trained, whose files must be in place."""
        with self._write() as session:
            self._close_cycle(session, cycle, adapter, "", alarm)

    def skip_learning(self, cycle: int, reason: str, alarm: str = "") -> None:
        """Close a cycle without an adapter."""
        with self._write() as session:
            self._close_cycle(session, cycle, None, reason, alarm)

    def spend(self, spent: Sequence[Activity]) -> None:
        """Add wall time and energy to the totals of the run's cycles."""
        with self._write() as session:
            for activity in spent:
                key = (self.run_id, activity.cycle, activity.activity)
                row = session.get(ActivityRow, key)
                if row is None:
                    session.add(ActivityRow(run_id=self.run_id, **vars(activity)))
                    continue
                row.seconds += activity.seconds
                if activity.joules is not None:
                    row.joules = (row.joules or 0.0) + activity.joules

    def forecast(self, forecast: ForecastRecord) -> None:
        """Store a forecast of the run's total time."""
        with self._write() as session:
            values = {**vars(forecast), "basis": canonical_json(dict(forecast.basis))}
            session.add(ForecastRow(run_id=self.run_id, **values))

    def confirmed(self, confirmation: Confirmation) -> None:
        """Store a candidate's full training.

        Raises:
            IllegalWriteError: the candidate is not of this run, or was confirmed with this
                protocol.
        """
        with self._write() as session:
            attempt = session.get(Attempt, confirmation.attempt_id)
            if attempt is None or attempt.run_id != self.run_id:
                raise IllegalWriteError(f"attempt {confirmation.attempt_id} is not of this run")
            same = select(ConfirmationRow.id).where(
                ConfirmationRow.attempt_id == confirmation.attempt_id,
                ConfirmationRow.protocol == confirmation.protocol,
            )
            if session.scalar(same) is not None:
                raise IllegalWriteError(f"attempt {confirmation.attempt_id} is confirmed already")
            values = {**vars(confirmation), "epochs": canonical_json(list(confirmation.epochs))}
            session.add(ConfirmationRow(run_id=self.run_id, created=now(), **values))

    def _add_attempts(self, session: Session, rows: Sequence[Attempt]) -> list[int]:
        session.add_all(rows)
        session.flush()
        for row in rows:
            record_transition(session, self.fence, row.id, None, State.GENERATED)
        return [row.id for row in rows]

    def _advance(self, session: Session, attempt_id: int, after: State, **values: Any) -> None:
        advance(session, self.run_id, self.fence, attempt_id, after, **values)

    def _count_retraining(self, session: Session, attempt_id: int, change: int) -> bool:
        """Add to the retrainings of a judged attempt; return False if it is not judged."""
        judged = (Attempt.id == attempt_id, Attempt.state == State.JUDGED)
        done = session.execute(
            update(Attempt)
            .where(*judged)
            .values(retrainings=Attempt.retrainings + change)
            .execution_options(synchronize_session=False)
            .returning(Attempt.id)
        )
        return done.scalar() is not None

    @contextmanager
    def _write(self) -> Iterator[Session]:
        if self._session is not None:
            yield self._session
            return
        with self._database.write() as session:
            fence = session.connection().scalar(_FENCE, {"run": self.run_id})
            if fence != self.fence:
                raise StoreError(
                    "another runner has taken over this run",
                    where=f"{self._database.path}, run {self.run_id}",
                    hint="Let the other one continue",
                )
            yield session

    def _expect_unclosed(self, session: Session, cycle: int) -> None:
        if session.get(ClosedCycle, (self.run_id, cycle)):
            raise IllegalWriteError(f"cycle {cycle} is closed and accepts no completions")

    def _expect_batch(self, session: Session, cycle: int, batch: int) -> None:
        self._expect_unclosed(session, cycle)
        mine = (Attempt.run_id == self.run_id, Attempt.cycle == cycle)
        last = session.scalar(select(func.max(Attempt.batch)).where(*mine))
        expected = 0 if last is None else last + 1
        if batch != expected:
            raise IllegalWriteError(f"cycle {cycle}: batch {batch} given, {expected} expected")

    def _close_cycle(
        self, session: Session, cycle: int, adapter: Adapter | None, reason: str, alarm: str
    ) -> None:
        if session.get(ClosedCycle, (self.run_id, cycle)):
            raise IllegalWriteError(f"cycle {cycle} is closed already")
        mine = (Attempt.run_id == self.run_id, Attempt.cycle == cycle)
        if _count(session, *mine, Attempt.state.in_(OPEN)):
            raise IllegalWriteError(f"cycle {cycle} has attempts that are not settled")
        if adapter is not None:
            session.add(AdapterRow(run_id=self.run_id, cycle=cycle, **vars(adapter)))
            session.flush()
        name = adapter.name if adapter else None
        row = ClosedCycle(run_id=self.run_id, cycle=cycle, adapter=name, reason=reason)
        row.closed, row.alarm = now(), alarm
        session.add(row)


def take_lease(database: Database, run_id: int) -> Lease:
    """Lock a run, increase its fence, and put interrupted trainings back to validated.

    Raises:
        StoreError: another process holds the run, or it is archived or missing.
    """
    path = database.path.with_name(f"{database.path.name}.run-{run_id}.lock")
    with ExitStack() as held:
        held.callback(RunLock(path).release)
        with database.write() as session:
            fence = update_run(session, run_id, str(database.path), fence=Run.fence + 1)
            lost = select(Attempt.id, Attempt.restarts).where(
                Attempt.run_id == run_id, Attempt.state == State.TRAINING
            )
            for attempt_id, restarts in session.execute(lost).all():
                steps = (State.TRAINING, State.VALIDATED)
                move(session, fence, attempt_id, *steps, restarts=restarts + 1)
        held.enter_context(database.hold())
        return Lease(database, run_id, fence, held.pop_all())


def _count(session: Session, *where: Any) -> int:
    return session.scalar(select(func.count()).select_from(Attempt).where(*where)) or 0
