"""Send what a run's records say to trackers, from threads of their own.

A tracker follows the database, not the loop: it cannot slow the run down or change it, and what it
missed (a server was down, the run was killed) it gets later. `tracking/NAME-NUMBER/TRACKER/` in the
folder of the runs belongs to the tracker; `position.json` in it holds how far it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from nngpt import files, plugins
from nngpt.config import completed
from nngpt.cycle.threads import Threads
from nngpt.errors import readable, shortened
from nngpt.protocols import Log, Tracker
from nngpt.records import Adapter, State, TrackedEvent, TrackedRun
from nngpt.reports.analysis.rows import attempt_row
from nngpt.store import AttemptRecord, CycleSummary, RunRecord, Store

KIND = "tracker"
_POSITION = "position.json"

_EVERY_S = 3.0
"""Time between two looks into the database."""

_PATIENCE_S = 30.0
"""How long the end of a run waits for a slow tracker."""


@dataclass(frozen=True)
class Position:
    """How far a tracker is.

    Attributes:
        key: what the tracker calls the run.
        cycle: the last cycle that was logged; all attempts up to it were, too.
        attempts: numbers of the attempts of later cycles that were logged.
    """

    key: str
    cycle: int = 0
    attempts: tuple[int, ...] = ()


class Tracking:
    """Follows a run with each of its trackers; a context manager around the run's loop.

    Args:
        names: names of trackers, such as "jsonl".
        log: gets one line if a tracker fails or is too slow.
    """

    def __init__(self, store: Store, run: RunRecord, names: Iterable[str], log: Log) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._path, self._run, self._log = store.path, run, log
        self._threads, self._ended = Threads(), threading.Event()
        self._following: dict[str, Future[None]] = {}
        self._failed: set[str] = set()

    def __enter__(self) -> Tracking:
        for name in self._names:
            self._following[name] = self._start(name)
        return self

    def __exit__(self, *_: object) -> None:
        """Let each tracker log what is left."""
        self._ended.set()
        for name, following in self._following.items():
            if following.done() and following.exception():  # once more: it may be back
                following = self._start(name)
            try:
                following.exception(_PATIENCE_S)
            except TimeoutError:
                self._log(f"Tracking with {name} is too slow: the rest is left out for now.")

    def _start(self, name: str) -> Future[None]:
        following = self._threads.start(lambda: follow(self._path, self._run, name, self._ended))
        following.add_done_callback(lambda done: self._report(name, done))
        return following

    def _report(self, name: str, done: Future[None]) -> None:
        if (error := done.exception()) is not None and name not in self._failed:
            self._failed.add(name)
            self._log(f"Tracking with {name} failed, the run goes on: {_line(error)}")


def check_trackers(names: Iterable[str]) -> None:
    """Check that trackers exist and their packages are installed. Raises: PluginError."""
    for name in names:
        plugins.load(KIND, name)


def track(folder: Path, name: str, names: Sequence[str], log: Log) -> None:
    """Send trackers what they lack of the current run of a name.

    Raises:
        PluginError: as `check_trackers`.
        StoreError: a process works on the run, or there is none.
    """
    check_trackers(names)
    with Store.open(folder / files.DATABASE, create=False) as store:
        run = store.run(name)
        with store.lease(run.id), Tracking(store, run, names, log):
            pass


def follow(path: Path, run: RunRecord, name: str, ended: threading.Event) -> None:
    """Log a run's events with one tracker until the run has `ended`.

    Raises: whatever the tracker raises.
    """
    file = _folder(path, run) / name / _POSITION
    with Store.open(path, create=False) as store:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = _read(file)
        tracker = _open(name, file, run, before)
        position = before or Position(tracker.key)
        _write(file, position)
        last = False
        while not last:
            last = ended.wait(_EVERY_S)
            events, position = news(store, run, position)
            if events:
                tracker.log(events)
                _write(file, position)
        tracker.close(store.run(run.id).status == "done")


def add_artefact(folder: Path, run: RunRecord, name: str, artefact: Path, log: Log) -> None:
    """Add a file or folder to each tracker that has tracked a run; log a line if one fails."""
    for file in sorted(_folder(folder / files.DATABASE, run).glob(f"*/{_POSITION}")):
        tracker = file.parent.name
        adding = Threads().start(partial(_add, tracker, file, run, name, artefact))
        if (error := adding.exception()) is not None:
            log(f"{tracker} did not take the {name}: {_line(error)}")


def news(store: Store, run: RunRecord, position: Position) -> tuple[list[TrackedEvent], Position]:
    """Return what happened in a run after a position, by cycle, and the position after it."""
    closed = store.closed_cycles(run.id, position.cycle)  # first: all of their attempts are settled
    settled = store.settled(run.id, position.cycle)
    new = settled.keys() - set(position.attempts)
    attempts = store.attempts(run.id, ids=new) if new else []
    events = [(attempt.cycle, _candidate(run, attempt)) for attempt in attempts]
    if closed:
        adapters = store.adapters(run.id)
        for summary in store.summary(run.id):
            if (at := closed.get(summary.cycle)) is not None:
                found = _cycle(summary, adapters.get(summary.cycle), at)
                events.append((summary.cycle, found))
    events.sort(key=lambda one: (one[0], one[1].kind))
    last = max(closed, default=position.cycle)
    later = tuple(number for number, cycle in settled.items() if cycle > last)
    return [event for _, event in events], Position(position.key, last, later)


def _candidate(run: RunRecord, attempt: AttemptRecord) -> TrackedEvent:
    row = attempt_row(run, attempt)
    names = ("accuracy", "low", "high", "parameters", "latency_ms", "novelty", "cpu_s")
    figures = {name: getattr(row, name) for name in names}
    figures |= {"evaluation_s": row.seconds, "admitted": attempt.state == State.ADMITTED}
    facts = {name: str(getattr(row, name) or "") for name in ("state", "stage", "reason", "arm")}
    facts |= {"cycle": str(row.cycle), "adapter": row.adapter or "", "code": row.content_hash or ""}
    return TrackedEvent(
        "candidate", row.attempt, attempt.updated, _known(figures), facts, row.curve
    )


def _cycle(summary: CycleSummary, adapter: Adapter | None, at: str) -> TrackedEvent:
    figures = {
        "generated": summary.generated,
        "valid": summary.valid,
        "admitted": summary.admitted,
        "valid_share": summary.valid / summary.generated if summary.generated else None,
        "mean_accuracy": summary.mean,
        "best_accuracy": summary.best and summary.best.accuracy,
        **{f"{activity}_s": seconds for activity, seconds in summary.seconds.items()},
        "held_out_loss": summary.held_out_last,
    }
    if adapter is not None:
        figures |= {"loss_first": adapter.loss_first, "loss_last": adapter.loss_last}
    facts = {"adapter": summary.learned or "", "skipped": summary.skipped, "alarm": summary.alarm}
    return TrackedEvent("cycle", summary.cycle, at, _known(figures), facts)


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items() if value is not None}


def _folder(path: Path, run: RunRecord) -> Path:
    """Return the folder of a run's trackers, given the path of its database."""
    return path.parent / "tracking" / f"{run.name}-{run.id}"


def _open(name: str, file: Path, run: RunRecord, position: Position | None) -> Tracker:
    """Create a tracker whose position is in `file`."""
    key, settings = position.key if position else None, completed(run.config)
    tracked = TrackedRun(run.name, run.id, file.parent, settings, key)
    tracker: Tracker = plugins.create(KIND, name, tracked)
    return tracker


def _read(file: Path) -> Position | None:
    """Return the position in a file, None if there is none."""
    if not file.exists():
        return None
    found = files.read_object(file)
    return Position(found["key"], found["cycle"], tuple(found["attempts"]))


def _write(file: Path, position: Position) -> None:
    files.write_file(file, [json.dumps(asdict(position)).encode()])


def _add(tracker_name: str, file: Path, run: RunRecord, name: str, artefact: Path) -> None:
    tracker = _open(tracker_name, file, run, _read(file))
    tracker.add_artefact(name, artefact)
    tracker.close(finished=None)


def _line(error: BaseException) -> str:
    return shortened(readable(" ".join(f"{type(error).__name__}: {error}".split())), 200)
