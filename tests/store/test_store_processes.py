"""Several, killed and replaced processes: "Nothing lost, nothing twice" (docs/design.md)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import store_runner
import warm
from command_line import TIMEOUT_S
from store_samples import admit, bring_to_training, candidate, start, write

from nngpt.errors import StoreError
from nngpt.records import State
from nngpt.store import IllegalWriteError, Store

_SCRIPT = Path(__file__).with_name("store_runner.py")
_ROOT = Path(__file__).parents[2]


def _runner(*arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(_SCRIPT), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), str(_ROOT / "tests")])},
    )


def test_two_processes_never_claim_the_same_attempt(store: Store, path: Path) -> None:
    with store.lease(start(store).id) as lease:
        for attempt in write(lease, 30):
            lease.parsed(attempt, candidate(f"x = {attempt}\n"))
            lease.validated(attempt)
    runners = [_runner("claim", path, lease.fence) for _ in range(2)]
    for runner in runners:
        assert runner.stdout and runner.stdout.readline() == "ready\n"
    won: list[int] = []
    for runner in runners:
        assert runner.stdin
        runner.stdin.write("go\n")
        runner.stdin.flush()
    for runner in runners:
        out, err = runner.communicate()
        assert runner.returncode == 0, err
        won += json.loads(out)
    assert sorted(won) == [record.id for record in store.attempts(1)]
    assert {record.state for record in store.attempts(1)} == {State.TRAINING}


def test_killed_processes_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    path, reference = tmp_path / "killed.db", tmp_path / "peaceful.db"
    loop = _runner("loop", path, 25)
    out, err = loop.communicate()
    assert loop.returncode == 0, err
    assert err == "" and int(out) > 0
    store_runner.work(reference)
    with Store.open(path, create=False) as killed, Store.open(reference) as peaceful:
        for store in (killed, peaceful):
            _check_history(store)
        assert _outcome(killed) == _outcome(peaceful)
    _check_rows(path)


def _outcome(store: Store) -> list[Any]:
    return [
        (a.cycle, a.place, a.completion, a.state, a.candidate, a.evaluation, a.refusal)
        for a in store.attempts(1, with_code=True)
    ]


def _check_history(store: Store) -> None:
    attempts = store.attempts(1)
    assert len(attempts) == store_runner.CYCLES * store_runner.BATCHES * store_runner.BATCH_SIZE
    for attempt in attempts:
        steps = store.transitions(attempt.id)
        assert [step.before for step in steps] == [None, *(step.after for step in steps[:-1])]
        assert steps[-1].after is attempt.state
        assert attempt.state in (State.ADMITTED, State.REFUSED)
        reached = [step.after for step in steps]
        assert reached.count(State.TRAINED) == (attempt.evaluation is not None)
        assert reached.count(State.VALIDATED) == (attempt.restarts + (State.VALIDATED in reached))
    hashes = [attempt.content_hash for attempt in store.admitted(1)]
    assert hashes and len(hashes) == len(set(hashes))
    assert [cycle.closed for cycle in store.summary(1)] == [True] * store_runner.CYCLES


def _check_rows(path: Path) -> None:
    def count(query: str) -> int:
        return int(connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0])

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    trained = count("nngpt_attempt WHERE accuracy IS NOT NULL")
    assert count("nngpt_epoch") == count("stat") == 2 * trained > 0
    assert count("nngpt_admission") == count("nngpt_attempt WHERE state = 'admitted'")
    assert count("nn") == trained
    connection.close()


def test_lock_is_freed_with_its_process_even_if_a_child_survives(store: Store, path: Path) -> None:
    run = start(store)
    runner = _runner("hold", path)
    assert runner.stdout
    child = int(runner.stdout.readline())
    try:
        with pytest.raises(StoreError, match=rf"another runner \(pid {runner.pid}\)"):
            store.lease(run.id)
        runner.kill()
        runner.wait()
        store.lease(run.id).close()
    finally:
        os.kill(child, signal.SIGKILL)
        runner.communicate()


def test_replaced_process_cannot_write(store: Store, path: Path) -> None:
    run = start(store)
    old = store.lease(run.id)
    waiting, training = write(old, 2)
    bring_to_training(old, training)
    # As on a network file system that lost the lock.
    path.with_name(f"{path.name}.run-{run.id}.lock").unlink()
    with store.lease(run.id) as new:
        for late in (
            lambda: old.parsed(waiting, candidate()),
            lambda: write(old, batch=1),
            lambda: old.skip_learning(1, "late"),
        ):
            with pytest.raises(StoreError, match="taken over"):
                late()
        admit(new, waiting, "class B: pass\n")
    assert store.attempt(training).state is State.VALIDATED
    old.close()


def test_the_idle_connection_of_a_lease_is_closed_in_forked_processes(path: Path) -> None:
    # In a process of one thread: a lock that another thread held would stay held in the fork.
    assert _exit_code(_hold_and_fork, path) == 0


def _exit_code(function: Callable[[Path], None], path: Path) -> int | None:
    """Call a function in a process of its own; return its exit code, None if it does not end."""
    process = warm.FORKING.Process(target=function, args=(path,))
    process.start()
    process.join(TIMEOUT_S)
    return process.exitcode


def _hold_and_fork(path: Path) -> None:
    ours = {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    with Store.open(path) as store:
        with store.lease(start(store).id) as lease:
            write(lease)
            assert ours <= _open_files(), "one connection keeps the log open"
            if (child := os.fork()) == 0:
                os._exit(bool(ours & _open_files()))
            assert os.waitpid(child, 0)[1] == 0
            [attempt] = write(lease, batch=1)
        assert not ours & _open_files()
        files = {file.name for file in path.parent.iterdir()}
        assert files == {path.name, f"{path.name}.run-1.lock"}
        assert store.attempt(attempt).batch == 1


def test_what_is_recorded_together_is_one_transaction(store: Store) -> None:
    with store.lease(start(store).id) as lease:
        [attempt] = write(lease)
        with pytest.raises(IllegalWriteError, match="cannot become"), lease.together():
            lease.parsed(attempt, candidate())
            lease.training(attempt)
        assert store.attempt(attempt).state is State.GENERATED
        with lease.together():
            bring_to_training(lease, attempt)
            assert store.attempt(attempt).state is State.GENERATED, "not committed yet"
        assert store.attempt(attempt).state is State.TRAINING
        assert len(store.transitions(attempt)) == 4


def _open_files() -> set[str]:
    names = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            names.add(descriptor.readlink().name)
    return names


def test_a_second_store_leaves_the_locks_of_a_lease(path: Path) -> None:
    # In a process of its own: this one may have read the file before.
    assert _exit_code(_open_twice, path) == 0


def _open_twice(path: Path) -> None:
    with Store.open(path) as store, store.lease(start(store).id) as lease:
        write(lease)
        before = _locks(path)
        with Store.open(path) as second:
            assert len(second.attempts(1)) == len(store.attempts(1))
        assert _locks(path) == before != set()


def _locks(path: Path) -> set[tuple[str, str]]:
    """Return the locks of this process on a database: the file, and kind and span of the lock."""
    files = {path.with_name(path.name + end).stat().st_ino: end for end in ("", "-shm")}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {
        (files[inode], " ".join(line[3:4] + line[-2:]))
        for line in lines
        if line[-4] == str(os.getpid()) and (inode := int(line[-3].split(":")[-1])) in files
    }
