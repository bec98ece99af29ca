"""The store: create and find runs, lease them for writing, and read everything."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nngpt.errors import StoreError, nearest
from nngpt.records import Adapter, Arm, Prompt, State, canonical_json
from nngpt.store import queries, row_mapping
from nngpt.store.database import Database, open_database
from nngpt.store.lease import Lease, take_lease
from nngpt.store.states import OPEN, now, update_run
from nngpt.store.tables import (
    ActivityRow,
    AdapterRow,
    Attempt,
    ClosedCycle,
    ConfirmationRow,
    ForecastRow,
    PromptRow,
    Run,
    TransitionRow,
)
from nngpt.store.views import (
    Activity,
    AttemptRecord,
    Confirmation,
    CycleSummary,
    ForecastRecord,
    Outcome,
    RunRecord,
    Transition,
    identity_hash,
)


class Store:
    """A database of runs. Reading needs no lease; attempts are written through a `Lease`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, path: Path, create: bool = True) -> Store:
        """Open the database at `path`; with `create`, create it if it is missing.

        Raises:
            StoreError: the file is missing, foreign, made by a newer nngpt, or not writable.
                Nothing is written then.
        """
        return cls(open_database(path, create))

    @property
    def path(self) -> Path:
        """Path of the database file."""
        return self.database.path

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database of runs."""
        self.database.close()

    # Runs

    def start_run(
        self, name: str, config: Mapping[str, Any], identity: Mapping[str, Any], seed: int
    ) -> RunRecord:
        """Create a run in the database.

        Raises: StoreError if a run of this name exists and is not archived.
        """
        row = Run(name=name, config=canonical_json(config), identity=identity_hash(identity))
        row.seed, row.status, row.fence = seed, "active", 0
        row.created = row.updated = now()
        with self.database.write() as session:
            if _current(session, name):
                raise StoreError(
                    f"a run named {name!r} exists",
                    where=str(self.path),
                    hint="Resume it, archive it (--fresh), or choose another name",
                )
            session.add(row)
            session.flush()
            return row_mapping.to_run(row)

    def current_run(self, name: str) -> RunRecord | None:
        """Return the run of this name that is not archived, or None."""
        with self.database.read() as session:
            row = _current(session, name)
            return row_mapping.to_run(row) if row else None

    def runs(self) -> list[RunRecord]:
        """Return all runs, oldest first."""
        with self.database.read() as session:
            return [
                row_mapping.to_run(row) for row in session.scalars(select(Run).order_by(Run.id))
            ]

    def run(self, id_or_name: int | str) -> RunRecord:
        """Return a run by id or name; of several with one name the current, else the newest.

        Raises: StoreError if there is no such run.
        """
        runs = self.runs()
        named = [run for run in runs if run.name == id_or_name]
        numbered = [run for run in runs if str(run.id) == str(id_or_name)]
        current = [run for run in named if run.status != "archived"]
        found = [*current, *reversed(named), *numbered]
        if found:
            return found[0]
        hint = nearest(str(id_or_name), {run.name for run in runs}) or "There are no runs yet"
        raise StoreError(f"no run {str(id_or_name)!r}", where=str(self.path), hint=hint)

    def archive_run(self, run_id: int) -> None:
        """Archive a run; its name becomes free for another.

        Raises: StoreError if a process is working on the run, or the run is archived already.
        """
        with self.lease(run_id):
            self._set_status(run_id, "archived")

    def reopen_run(self, run_id: int) -> None:
        """Mark a finished run as active, so that cycles can be added."""
        self._set_status(run_id, "active")

    def lease(self, run_id: int) -> Lease:
        """Take the exclusive right to work on a run; put interrupted trainings back in the queue.

        Raises: StoreError if another process works on the run, or it is archived or missing.
        """
        return take_lease(self.database, run_id)

    # Attempts

    def attempts(
        self,
        run_id: int,
        cycle: int | None = None,
        state: State | None = None,
        with_code: bool = False,
        arm: Arm | None = None,
        ids: Collection[int] | None = None,
    ) -> list[AttemptRecord]:
        """Return a run's attempts in the order of generation, filtered by the given values."""
        states = None if state is None else (state,)
        with self.database.read() as session:
            return queries.attempts(
                session, run_id, cycle=cycle, states=states, arm=arm, ids=ids, with_code=with_code
            )

    def attempt(self, attempt_id: int) -> AttemptRecord:
        """Return one attempt with its code.

        Raises: StoreError if no attempt has this id.
        """
        with self.database.read() as session:
            row = session.get(Attempt, attempt_id)
            if row is None:
                raise StoreError(f"no attempt {attempt_id}", where=str(self.path))
            return row_mapping.to_attempt(row, with_code=True)

    def open_attempts(self, run_id: int, cycle: int) -> list[AttemptRecord]:
        """Return a cycle's attempts that are neither admitted nor refused, with code, in order."""
        with self.database.read() as session:
            return queries.attempts(session, run_id, cycle=cycle, states=OPEN, with_code=True)

    def admitted(
        self, run_id: int, upto_cycle: int | None = None, arm: Arm = Arm.LOOP
    ) -> list[AttemptRecord]:
        """Return an arm's admitted attempts with code, in order, up to and including a cycle."""
        states = (State.ADMITTED,)
        with self.database.read() as session:
            return queries.attempts(
                session, run_id, upto_cycle=upto_cycle, states=states, arm=arm, with_code=True
            )

    def settled(self, run_id: int, after_cycle: int = 0) -> dict[int, int]:
        """Return the cycle of each admitted or refused attempt of later cycles, by its id."""
        query = select(Attempt.id, Attempt.cycle).where(
            Attempt.run_id == run_id, Attempt.cycle > after_cycle, Attempt.state.not_in(OPEN)
        )
        with self.database.read() as session:
            return {row.id: row.cycle for row in session.execute(query.order_by(Attempt.id))}

    def known_hash(self, run_id: int, content_hash: str, arm: Arm = Arm.LOOP) -> int | None:
        """Return the id of the arm's first attempt with this code that reached training.

        Such code need not be trained again, whatever the result was.
        """
        with self.database.read() as session:
            return queries.known_hash(session, run_id, content_hash, arm)

    def transitions(self, attempt_id: int) -> list[Transition]:
        """Return an attempt's audit trail, oldest first."""
        query = select(TransitionRow).where(TransitionRow.attempt_id == attempt_id)
        with self.database.read() as session:
            return [
                Transition(State(r.before) if r.before else None, State(r.after), r.at, r.fence)
                for r in session.scalars(query.order_by(TransitionRow.id))
            ]

    def prompt(self, prompt_hash: str) -> Prompt:
        """Return the stored prompt with this hash.

        Raises: StoreError if no prompt has this hash.
        """
        with self.database.read() as session:
            row = session.get(PromptRow, prompt_hash)
            if row is None:
                raise StoreError(f"no prompt {prompt_hash}", where=str(self.path))
            return row_mapping.to_prompt(row)

    def question(self, attempt: AttemptRecord) -> Prompt:
        """Return the prompt that an attempt answers; for a repair, the original prompt.

        Training pairs use the original prompt, so the LLM learns to answer without a repair.
        """
        while attempt.repaired_from is not None:
            attempt = self.attempt(attempt.repaired_from)
        return self.prompt(attempt.prompt_hash)

    # Cycles

    def batches(self, run_id: int, cycle: int) -> int:
        """Return the number of generation batches recorded in a cycle."""
        mine = (Attempt.run_id == run_id, Attempt.cycle == cycle)
        query = select(func.count(Attempt.batch.distinct())).where(*mine)
        with self.database.read() as session:
            return session.scalar(query) or 0

    def cycle_closed(self, run_id: int, cycle: int) -> bool:
        """Return True once a cycle's training has ended, with or without an adapter."""
        with self.database.read() as session:
            return session.get(ClosedCycle, (run_id, cycle)) is not None

    def closed_cycles(self, run_id: int, after_cycle: int = 0) -> dict[int, str]:
        """Return when each later cycle was closed (ISO 8601, UTC), by its number."""
        query = select(ClosedCycle.cycle, ClosedCycle.closed).where(
            ClosedCycle.run_id == run_id, ClosedCycle.cycle > after_cycle
        )
        with self.database.read() as session:
            return {row.cycle: row.closed for row in session.execute(query)}

    def adapter(self, run_id: int, cycle: int) -> Adapter | None:
        """Return the adapter trained at the end of a cycle, or None."""
        return self.adapters(run_id).get(cycle)

    def adapters(self, run_id: int) -> dict[int, Adapter]:
        """Return a run's adapters by the cycle that trained them, in order."""
        query = select(AdapterRow).where(AdapterRow.run_id == run_id).order_by(AdapterRow.cycle)
        with self.database.read() as session:
            return {row.cycle: row_mapping.to_adapter(row) for row in session.scalars(query)}

    def last_adapter(self, run_id: int, before_cycle: int) -> Adapter | None:
        """Return the newest adapter trained before a cycle, which generates that cycle."""
        earlier = [a for cycle, a in self.adapters(run_id).items() if cycle < before_cycle]
        return earlier[-1] if earlier else None

    def summary(self, run_id: int, arm: Arm = Arm.LOOP) -> list[CycleSummary]:
        """Return one summary per cycle in which the arm generated anything, in order."""
        with self.database.read() as session:
            return queries.summary(session, run_id, arm)

    # The experiment

    def outcomes(self, run_id: int) -> list[Outcome]:
        """Return what came of each first answer of a run, by cycle and in the order of writing."""
        with self.database.read() as session:
            return queries.outcomes(session, run_id)

    def arms(self, run_id: int) -> list[Arm]:
        """Return the arms that generated attempts in a run: the loop, then its controls."""
        query = select(Attempt.arm).where(Attempt.run_id == run_id).distinct()
        with self.database.read() as session:
            found = set(session.scalars(query))
        return [arm for arm in Arm if arm in found]

    def activities(self, run_id: int) -> list[Activity]:
        """Return the run's wall time and energy by cycle and activity."""
        query = select(ActivityRow).where(ActivityRow.run_id == run_id)
        with self.database.read() as session:
            rows = session.scalars(query.order_by(ActivityRow.cycle, ActivityRow.activity))
            return [Activity(row.cycle, row.activity, row.seconds, row.joules) for row in rows]

    def forecasts(self, run_id: int) -> list[ForecastRecord]:
        """Return the run's forecasts, oldest first."""
        query = select(ForecastRow).where(ForecastRow.run_id == run_id).order_by(ForecastRow.id)
        with self.database.read() as session:
            return [row_mapping.to_forecast(row) for row in session.scalars(query)]

    def confirmations(self, run_id: int) -> list[Confirmation]:
        """Return the run's fully trained candidates, in the order of training."""
        query = select(ConfirmationRow).where(ConfirmationRow.run_id == run_id)
        with self.database.read() as session:
            rows = session.scalars(query.order_by(ConfirmationRow.id))
            return [row_mapping.to_confirmation(row) for row in rows]

    def _set_status(self, run_id: int, status: str) -> None:
        with self.database.write() as session:
            update_run(session, run_id, str(self.path), status=status, ended="")


def _current(session: Session, name: str) -> Run | None:
    return session.scalar(select(Run).where(Run.name == name, Run.status != "archived"))
