"""Candidates that use too much memory, output or time, or too many threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hostile_samples import PLACES, SEED, everywhere, hostile, left_over, need, scores
from sandbox_samples import candidate

from nngpt.records import Evaluation, Refusal, Stage
from nngpt.sandbox.executors.local import LocalExecutor

Attack = Callable[..., Evaluation | Refusal]
Attacks = Callable[..., dict[str, Evaluation | Refusal]]
Start = Callable[..., LocalExecutor]

LITTLE_MEMORY = {"memory_mb": 200, "workers": 2}
STAGES = dict(zip(PLACES, (Stage.BUILD, Stage.BUILD, Stage.FORWARD, Stage.TRAIN), strict=True))

MEMORY = {
    "torch": "x = torch.ones(1 << 28)",
    "many small tensors": "x = [torch.ones(1 << 18) for _ in range(999)]",
    "bytearray": "x = [bytearray(1 << 24) for _ in range(99)]",
    "numbers": "x = list(range(1 << 27))",
    "text": "x = 'x' * (1 << 20) * 1000",
    "mapping": """
import mmap
x = mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
""",
    "mapping of a sealed file": """
import mmap
x = [mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE) for fd in (3, 4, 5, 6, 7) for _ in range(9999)]
""",
    "recursion in C": "x = []\nfor _ in range(10**8): x = [x]",
}


@pytest.mark.parametrize("name", MEMORY)
def test_too_much_memory_is_refused(attack: Attack, name: str) -> None:
    result = attack(hostile("learn", MEMORY[name]), **LITTLE_MEMORY)
    assert isinstance(result, Refusal), result


def test_too_much_memory_is_refused_everywhere(attacks: Attacks) -> None:
    for result in attacks(everywhere("x = torch.ones(1 << 28)"), **LITTLE_MEMORY).values():
        assert isinstance(result, Refusal), result
        assert result.reason == "out of memory"


HIDDEN = {
    "shared memory that is not mapped": """
import mmap, os
fd, kept = os.open("/dev/zero", os.O_RDWR), []
for _ in range(32):
    kept.append(mmap.mmap(fd, 1 << 24, flags=mmap.MAP_SHARED))
    kept[-1].write(b"x" * (1 << 24))
    kept[-1].madvise(mmap.MADV_DONTNEED)  # still held, counted nowhere
import time; time.sleep(1)
""",
    "stack that no limit counts": """
import mmap
kept = mmap.mmap(-1, 1 << 29, flags=0x100 | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, 1 << 29, 1 << 24): kept[at : at + (1 << 24)] = b"x" * (1 << 24)
import time; time.sleep(1)
""",
    "page tables": """
import mmap, numpy
size = 128 << 30
kept = mmap.mmap(-1, size, flags=0x4000 | mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=1)
numpy.frombuffer(kept, "u1")[:: 1 << 21].max()
import time; time.sleep(1)
""",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_memory_cannot_be_hidden_from_the_limits(attack: Attack, name: str) -> None:
    """Each attack would use more than twice the limit."""
    result = attack(hostile("learn", HIDDEN[name]), **LITTLE_MEMORY)
    assert isinstance(result, Refusal), result


def test_pipes_hold_little(attack: Attack) -> None:
    code = """
import fcntl, os
held = 0
for _ in range(999):
    try: _, end = os.pipe()
    except OSError: break
    try: fcntl.fcntl(end, 1031, 1 << 20)
    except OSError: pass
    held += fcntl.fcntl(end, 1032)
assert held <= 160 << 20, f"the attack worked: {held}"
"""
    result = attack(hostile("learn", code))
    assert isinstance(result, Evaluation), result


def test_too_many_threads_are_refused(attacks: Attacks, start: Start) -> None:
    code = """
import threading, time
threading.stack_size(1 << 16)
for _ in range(300): threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
time.sleep(600)
"""
    counted = "RuntimeError: can't start new thread"
    for result in attacks(everywhere(code)).values():
        assert isinstance(result, Refusal), result
        if "thread-count" in start().level:
            assert result.reason.endswith(counted)
        else:
            assert result.reason.endswith(counted) or result.reason == "started too many processes"


FORKS = {
    "daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(600)
    os._exit(0)
""",
    "bomb": "for _ in range(9999): os.fork()",
    "bomb of libc": """
import ctypes
for _ in range(9999):
    if ctypes.CDLL(None, use_errno=True).fork() < 0: raise OSError(ctypes.get_errno(), "fork")
""",
}


@pytest.mark.parametrize("name", FORKS)
def test_no_process_can_be_started(attacks: Attacks, start: Start, name: str) -> None:
    need(start(), "seccomp")
    lines = "".join(f"    {line}\n" for line in FORKS[name].strip().splitlines())
    code = f"import os, time\ntry:\n{lines}    raise RuntimeError('the attack worked')\n"
    for result in attacks(everywhere(code + "except OSError: pass")).values():
        assert isinstance(result, Evaluation), result


@pytest.mark.parametrize("fd", [1, 2])
def test_a_flood_of_output_does_no_harm(attack: Attack, fd: int) -> None:
    code = f"""
import os, sys
try:
    for _ in range(256): os.write({fd}, b"\\x1b[2J\\0flood" * (1 << 15))
except OSError: pass
for stream in (sys.stdout, sys.stderr): stream.write("flood")
os._exit(3)
"""
    result = attack(hostile("learn", code))
    assert isinstance(result, Refusal), result
    assert result.reason == "ended without a result (exit code 3)"


def test_a_flood_into_the_result_is_refused(attack: Attack) -> None:
    code = """
import os
for fd in range(3, 64):
    try:
        while os.write(fd, b"J" * 65536): pass
    except OSError: continue
"""
    result = attack(hostile("learn", code))
    assert isinstance(result, Refusal), result
    assert result.reason == "broke the result protocol"


HANGS = {
    "loop": ("import", "while True: pass"),
    "sleep": ("__init__", "import time; time.sleep(600)"),
    "expression": ("forward", "import re; re.match('(a|aa)+$', 'a' * 99 + 'b')"),
    "loop in C": ("learn", "x = torch.ones(2000, 2000)\nwhile True: x = (x @ x).clamp(0, 1)"),
    "deaf": (
        "learn",
        """
import signal, threading
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))
lock = threading.Lock()
lock.acquire(); lock.acquire()
""",
    ),
    "stopped": (
        "learn",
        """
import os, signal, time
try: os.kill(os.getpid(), signal.SIGSTOP)
except OSError: pass
time.sleep(600)
""",
    ),
    "message": (
        "learn",
        """
class Endless(Exception):
    def __str__(self):
        while True: pass
raise Endless
""",
    ),
    "finalizer": (
        "learn",
        """
class Stays:
    def __del__(self):
        while True: pass
x = Stays()
del x
""",
    ),
}


ASLEEP = ("sleep", "deaf", "stopped")


def test_hanging_candidates_are_ended(start: Start, honest_scores: list[tuple[float, int]]) -> None:
    executor = start(limit_s=1.2, workers=4)
    codes = [hostile(place, code) for place, code in HANGS.values()]
    with ThreadPoolExecutor(4) as threads:
        outcomes = threads.map(lambda code: executor.evaluate(candidate(code), SEED), codes)
        ended = dict(zip(HANGS, outcomes, strict=True))
    for name, result in ended.items():
        assert isinstance(result, Refusal), name
        assert result.reason in (
            "used more than its 1.2 CPU seconds",
            "slept more than 1.2 seconds",
        )
        assert result.reason.startswith("slept") == (name in ASLEEP), name
        assert result.stage == STAGES[HANGS[name][0]], name
    assert left_over(executor) == []
    assert scores(executor.evaluate(candidate(), SEED)) == honest_scores
