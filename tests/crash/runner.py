"""Runners of the cycle that are killed: a warm parent forks them, so a start costs milliseconds.

    tests (Runners) ── requests, answers ── warm parent ── fork ── `nngpt cycle run …`

The warm parent has imported everything and has one thread, so forking is safe. Its children run
the real command line: real assembly, real loop, real database.

Usage: python -m crash.runner    | one JSON request a line on stdin, one JSON answer on stdout
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

import store_samples
from crash.instant_runs import BATCHES, ONE_OF_EACH
from sqlalchemy.orm import Session
from warm import become_nngpt, freeze

from nngpt.cli.main import main
from nngpt.store import Lease, database
from nngpt.store.database import Database

ROOT = Path(__file__).parents[2]

CREATION = 2
"""Number of moments of the first transaction, which makes the database's tables."""

# Libraries that start threads when they are imported would make the forks unsafe.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}


# ---------------------------------------------------------------------- in the tests


@dataclass(frozen=True)
class Exit:
    """A runner's exit code (negative: killed by that signal) and standard error."""

    code: int
    stderr: str


class Runners:
    """Starts runners; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._logs, self._started = folder, 0
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "crash.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        )
        assert self.answer() == {"threads": 1}

    def start(
        self,
        folder: Path,
        arguments: Sequence[str],
        at: int | None = None,
        by: signal.Signals = signal.SIGKILL,
        of: str | None = None,
    ) -> Runner:
        """Run `nngpt` with these arguments in `folder`.

        With `at`, the runner sends itself the signal `by` at that moment: moments 2n and 2n + 1 are
        just before and just after the commit of its transaction n, both counted from 0. `of`
        counts only transactions of a method of `Lease`.
        """
        self._started += 1
        log = self._logs / f"stderr-{self._started}"
        request = {"folder": str(folder), "arguments": list(arguments), "log": str(log)}
        self.send({**request, "at": at, "by": int(by), "of": of})
        return Runner(self, int(self.answer()["pid"]), log)

    def run(self, folder: Path, arguments: Sequence[str], at: int | None = None) -> Exit:
        """Start a runner and wait for its end."""
        return self.start(folder, arguments, at).wait()

    def send(self, request: dict[str, Any]) -> None:
        """Send a request to the warm parent."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Read the warm parent's answer."""
        assert self._parent.stdout is not None
        answer: dict[str, Any] = json.loads(self._parent.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate(timeout=60)  # the end of its stdin is its end


@dataclass(frozen=True)
class Runner:
    """A started runner; its pid is not reused before `wait`."""

    runners: Runners
    pid: int
    log: Path

    def wait(self) -> Exit:
        """Wait for the end."""
        self.runners.send({"wait": self.pid})
        return Exit(int(self.runners.answer()["code"]), self.log.read_text())

    def wait_until_stopped(self) -> None:
        """Wait until the runner has sent itself SIGSTOP."""
        self.runners.send({"wait": self.pid})
        assert self.runners.answer() == {"stopped": True}, self.log.read_text()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; a runner that has ended stays a zombie until `wait`."""
        os.kill(self.pid, number)


# ---------------------------------------------------------------------- in the warm parent


def serve() -> None:
    """Answer requests until stdin ends; then kill every runner that is left."""
    _warm()
    alive: set[int] = set()
    _say({"threads": len(os.listdir("/proc/self/task"))})  # noqa: PTH208
    try:
        for line in sys.stdin:
            request = json.loads(line)
            if "wait" in request:
                _say(_wait(request["wait"], alive))
                continue
            pid = os.fork()
            if pid == 0:
                _become_runner(**request)
            alive.add(pid)
            _say({"pid": pid})
    finally:
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _wait(pid: int, alive: set[int]) -> dict[str, Any]:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return {"stopped": True}
    alive.discard(pid)
    return {"code": os.waitstatus_to_exitcode(status)}


def _warm() -> None:
    """Run what the runners will run, so that all imports and caches are in place."""
    store_samples.empty_database()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        os.chdir(folder)
        for name, kind in (("one", ONE_OF_EACH), ("two", BATCHES)):
            sys.argv = ["nngpt", *kind.command(Path(folder), name)]
            try:
                main()
            except SystemExit as end:
                assert not end.code
        os.chdir("/")
    freeze()


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


# ---------------------------------------------------------------------- in a runner


def _become_runner(
    folder: str, arguments: list[str], log: str, at: int | None, by: int, of: str | None
) -> NoReturn:
    def first() -> None:
        if at is not None:
            _signal_at(at, by, of)

    become_nngpt(Path(folder), arguments, Path(os.devnull), Path(log), first)


def _signal_at(moment: int, number: int, method: str | None) -> None:
    """Count the moments before and after each commit, and send the signal at moment `moment`.

    A later moment than those of the database's creation does not need the creation itself.
    """
    write, left, counting = Database.write, moment, method is None
    if method is not None or moment >= CREATION:
        database._initialise = store_samples.copy_empty
        left -= CREATION * counting

    def pass_moment() -> None:
        nonlocal left
        if counting:
            if left == 0:
                os.kill(os.getpid(), number)
            left -= 1

    @contextmanager
    def counted(database: Database) -> Iterator[Session]:
        with write(database) as session:
            yield session
            session.flush()  # all is written and only COMMIT is missing
            pass_moment()
        pass_moment()

    Database.write = counted
    if method is not None:
        original = getattr(Lease, method)

        def watched(*arguments: Any) -> Any:
            nonlocal counting
            counting = True
            try:
                return original(*arguments)
            finally:
                counting = False

        setattr(Lease, method, watched)


if __name__ == "__main__":
    serve()
