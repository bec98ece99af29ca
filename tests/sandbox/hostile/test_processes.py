"""Only the runner can end a worker; candidates cannot harm siblings, lanes or the zygote."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_samples import SEED, Running, hostile, lanes_of, left_over, need, scores
from sandbox_samples import candidate

from nngpt.records import Evaluation, Refusal
from nngpt.sandbox import processes
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.zygote_client import shared

Start = Callable[..., LocalExecutor]

# A second thread shows that the candidate runs; it is attacked until `Running.end` wakes it.
SLEEPS = """
import signal, threading, time
woken = []
def sleep():
    while not woken: time.sleep(0.01)
signal.signal(signal.SIGUSR1, lambda *_: woken.append(True))
threading.Thread(target=sleep).start()
sleep()
"""


@pytest.fixture
def executor(start: Start) -> Iterator[LocalExecutor]:
    """An executor with two workers, shared with the memory bombs."""
    executor = start(memory_mb=200, workers=2)
    yield executor
    assert left_over(executor) == []


def test_a_sibling_cannot_be_ended(
    executor: LocalExecutor, honest_scores: list[tuple[float, int]]
) -> None:
    need(executor, "seccomp")
    sibling = Running(executor, candidate(hostile("learn", SLEEPS)))
    outer = [sibling.worker()]
    code = f"""
import os, signal
for pid in (*{outer!r}, *range(2, 40000), -1, 0):
    for number in (signal.SIGKILL, signal.SIGSTOP):
        try: os.kill(pid, number)
        except OSError: continue
        raise RuntimeError("the attack worked")
"""
    result = executor.evaluate(candidate(hostile("learn", code)), SEED)
    assert isinstance(result, Evaluation), result
    assert scores(sibling.end()) == honest_scores


def test_a_sibling_cannot_be_seen(executor: LocalExecutor) -> None:
    need(executor, "namespaces", "private-files")
    sibling = Running(executor, candidate(hostile("learn", SLEEPS)))
    outer = [sibling.worker()]
    code = f"""
import os
assert os.getpid() == 1 and os.getppid() == 0
for pid in {outer!r}:
    for ask in (os.getpgid, os.getsid, os.sched_getaffinity):
        try: ask(pid)
        except OSError: continue
        raise RuntimeError("the attack worked")
assert not os.path.exists("/proc/1")
"""
    result = executor.evaluate(candidate(hostile("learn", code)), SEED)
    assert isinstance(result, Evaluation), result
    assert isinstance(sibling.end(), Evaluation)


@pytest.mark.parametrize("whom", ["worker", "lanes", "zygote"])
def test_a_killed_process_harms_no_candidate(
    executor: LocalExecutor, honest_scores: list[tuple[float, int]], whom: str
) -> None:
    """The kernel may run out of memory and kill any process."""
    victim = Running(executor, candidate(hostile("learn", SLEEPS)))
    workers = [victim.worker()]
    lanes = lanes_of(executor)
    zygote = shared.running().pid
    processes.kill({"worker": workers, "lanes": lanes, "zygote": [zygote]}[whom])
    # The first time the candidate is not blamed, but trained once more.
    assert scores(victim.end()) == honest_scores
    for _ in range(3):
        assert scores(executor.evaluate(candidate(), SEED)) == honest_scores
    if whom == "zygote":
        assert not any(alive(pid) for pid in (zygote, *lanes, *workers))


def test_who_is_killed_twice_is_refused(executor: LocalExecutor) -> None:
    victim = Running(executor, candidate(hostile("learn", SLEEPS)))
    first = victim.worker()
    processes.kill([first])
    while (second := victim.worker()) == first:
        time.sleep(0.01)
    processes.kill([second])
    result = victim.end()
    assert isinstance(result, Refusal), result
    assert result.reason == "was killed by SIGKILL"


def alive(pid: int) -> bool:
    """Return True if the process runs; False for a zombie."""
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_signals_to_itself_change_nothing_for_others(
    executor: LocalExecutor, honest_scores: list[tuple[float, int]]
) -> None:
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGABRT, signal.SIGSYS):
        code = hostile("learn", f"import os; os.kill(os.getpid(), {int(number)})")
        result = executor.evaluate(candidate(code), SEED)
        assert isinstance(result, Refusal) or scores(result) == honest_scores
        assert scores(executor.evaluate(candidate(), SEED)) == honest_scores


@pytest.mark.parametrize(
    ("crash", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("import os; os.abort()", "was killed by SIG"),
        ("import sys; sys.setrecursionlimit(10**9); f = lambda n: [*map(f, [n])]; f(0)", ""),
    ],
)
def test_a_crash_is_refused(executor: LocalExecutor, crash: str, reason: str) -> None:
    result = executor.evaluate(candidate(hostile("learn", crash)), SEED)
    assert isinstance(result, Refusal), result
    assert reason in result.reason
