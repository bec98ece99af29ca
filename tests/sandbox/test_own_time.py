"""A worker's own seconds, of real processes: computing, waiting for a processor, sleeping."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from busy import BURNS, busy_loops
from sandbox_samples import candidate

from nngpt.config import EvaluationConfig
from nngpt.records import Evaluation
from nngpt.sandbox import processes, reference
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.own_time import OwnTime

LOOKS, PAUSE_S = 20, 0.02


@contextmanager
def worker(code: str) -> Iterator[tuple[subprocess.Popen[str], OwnTime]]:
    """Run code in a process that first prints a line, and measure it from then on."""
    command = [sys.executable, "-c", f"print(flush=True)\n{code}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process, OwnTime(process.pid, process.pid, sharing=0)
        finally:
            process.kill()


def watched(process: subprocess.Popen[str], measured: OwnTime) -> float:
    """Look at a worker some times; return the wall seconds that this took."""
    start = time.monotonic()
    for _ in range(LOOKS):
        time.sleep(PAUSE_S)
        measured.look(processes.descendants(process.pid))
    return time.monotonic() - start


def test_waiting_for_a_processor_is_neither_own_time_nor_sleep() -> None:
    one_core = {min(os.sched_getaffinity(0))}
    with busy_loops(4, one_core), worker(BURNS) as (process, measured):
        os.sched_setaffinity(process.pid, one_core)
        wall_s = watched(process, measured)
    assert measured.asleep_s == 0
    assert 0 < measured.seconds < 0.75 * wall_s


def test_sleep_is_counted_apart() -> None:
    with worker("import time\ntime.sleep(600)") as (process, measured):
        wall_s = watched(process, measured)
    assert measured.seconds < 0.1 * measured.asleep_s
    assert measured.asleep_s > 0.8 * wall_s


def test_descendants_count_while_they_run_and_after_they_are_reaped() -> None:
    code = f"""
import os, signal, sys
child = os.fork()
if child == 0:
    {BURNS.replace("True", "os.times().user < 0.3")}
    print(flush=True)
    signal.pause()
sys.stdin.readline()
os.kill(child, signal.SIGKILL)
os.wait()
print(flush=True)
signal.pause()
"""
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            measured = OwnTime(process.pid, process.pid, sharing=0)
            process.stdout.readline()
            [child] = processes.descendants(process.pid)
            measured.look([child])
            alive_s = measured.seconds
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            assert processes.descendants(process.pid) == []
            measured.look([])
        finally:
            process.kill()
    assert measured.seconds >= alive_s >= 0.25


def test_the_limit_follows_from_the_reference_network(
    start: Callable[..., LocalExecutor], splits: object
) -> None:
    with_one, with_three = start(limit_s="auto"), start(limit_s="auto", epochs=3, batch=32)
    for executor in (with_one, with_three):
        limit_s = executor.calibrate()
        assert limit_s == executor.calibrate() == executor.limit_s > reference.START_S
    settings = EvaluationConfig(limit_s=7, device="cpu")
    executor = start(**settings.model_dump(include={"limit_s", "device"}))
    assert executor.calibrate() == 7
    assert isinstance(executor.evaluate(candidate(), 1), Evaluation)
