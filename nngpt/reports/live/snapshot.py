"""The run's state as JSON for the live page, renewed only when the database has changed."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

from nngpt.errors import StoreError
from nngpt.records import Arm
from nngpt.reports.analysis.lead import newest_leads
from nngpt.reports.live import candidates, overview
from nngpt.reports.live.database import WatchedDatabase, runner_of
from nngpt.reports.sheets import csv_text
from nngpt.reports.text import ARM_TITLES
from nngpt.store import AttemptRecord, Store


class Snapshots:
    """The current state of one watched run; safe to use from several threads."""

    def __init__(self, store: Store, database: WatchedDatabase, run_id: int) -> None:
        self._store, self._database, self._run_id = store, database, run_id
        self._lock = threading.Lock()
        self._seen: tuple[Any, ...] | None = None
        self._body, self._tag = b"", ""
        self._items: dict[int, dict[str, Any]] = {}

    def current(self) -> tuple[bytes, str]:
        """Return the JSON and its ETag, which changes only with the JSON. Raises: StoreError."""
        with self._lock:
            seen = (self._database.version(), runner_of(self._database.path, self._run_id))
            if seen != self._seen:
                self._body = _json(self._read(seen[1]))
                self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:20]}"'
                self._seen = seen
            return self._body, self._tag

    def attempt(self, attempt_id: int) -> bytes:
        """Return one candidate with all facts as JSON. Raises: StoreError if it is unknown."""
        return _json(candidates.detail(self._store, self._of_run(attempt_id)))

    def pair(self, *attempt_ids: int) -> bytes:
        """Return the comparison of two candidates as JSON. Raises: StoreError if one is unknown."""
        return _json(candidates.comparison([self._of_run(one) for one in attempt_ids]))

    def _of_run(self, attempt_id: int) -> AttemptRecord:
        attempt = self._store.attempt(attempt_id)
        if attempt.run_id != self._run_id:
            raise StoreError(f"no attempt {attempt_id} in run {self._run_id}")
        return attempt

    def listed(self, arm: str, standing: str, page: int) -> bytes:
        """Return a page of the list of all candidates as JSON. Raises: StoreError."""
        with self._database.read() as session:
            ids, total = candidates.matching(session, self._run_id, arm, standing, page)
        return _json({"items": [self._item(one) for one in ids], "total": total})

    def table(self) -> bytes:
        """Return all candidates as CSV. Raises: StoreError."""
        return csv_text(list(map(candidates.csv_row, self._store.attempts(self._run_id)))).encode()

    def _read(self, pid: int | None) -> dict[str, Any]:
        store, run_id = self._store, self._run_id
        run = store.run(run_id)
        summaries = {arm: store.summary(run_id, arm) for arm in store.arms(run_id)}
        cycle = max((found[-1].cycle for found in summaries.values() if found), default=0)
        with self._database.read() as session:
            rows = candidates.cells(session, run_id, cycle)
            feed, best = candidates.latest(session, run_id), candidates.best(session, run_id)
            last = candidates.last_change(session, run_id)
        open_ones = candidates.undecided(rows)
        return {
            "run": overview.head(run, cycle, pid, last),
            "arms": [{"arm": arm, "label": ARM_TITLES[arm]} for arm in summaries],
            "forecast": overview.forecast(store.forecasts(run_id)),
            "notes": overview.notes(run, summaries.get(Arm.LOOP, [])),
            "strip": candidates.strip(rows, summaries, overview.planned(run)),
            "totals": overview.totals(summaries, open_ones),
            "leads": [{"arm": a.other, "text": a.line()} for a in newest_leads(store, run)],
            "series": overview.series(summaries, open_ones),
            "funnel": overview.funnel(summaries),
            "feed": list(map(self._item, feed)),
            "best": list(map(self._item, best)),
            "time": overview.time_spent(store.activities(run_id), summaries),
        }

    def _item(self, attempt_id: int) -> dict[str, Any]:
        found = self._items.get(attempt_id)
        if found is None:
            attempt = self._store.attempt(attempt_id)
            found = candidates.item(attempt)
            if attempt.settled:
                self._items[attempt_id] = found
        return found


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
