"""Candidates that attack; after each one an honest candidate must score exactly as before."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from execution_samples import HONEST, altered, candidate

from nngpt.data.splits import Splits
from nngpt.execution import limits, processes
from nngpt.execution.local import LocalExecutor
from nngpt.records import Evaluation, Refusal, Stage

Start = Callable[..., LocalExecutor]
SEED = 11


def attacks_in(place: str, attack: str) -> str:
    """The honest network with an attack at the head of a method."""
    lines = "".join(f"        {line}\n" for line in attack.strip().splitlines())
    head = next(line for line in HONEST.splitlines() if f"def {place}(" in line)
    return HONEST.replace(head + "\n", f"{head}\n{lines}")


def scores(result: Evaluation | Refusal) -> list[tuple[float, int]]:
    assert isinstance(result, Evaluation), result
    return [(epoch.accuracy, epoch.correct) for epoch in result.epochs]


@pytest.fixture(scope="module")
def honest_scores(start: Start) -> list[tuple[float, int]]:
    return scores(start().evaluate(candidate(), SEED))


def left_over() -> list[int]:
    """What is alive below this process, zygotes apart."""
    below = processes.descendants(os.getpid())
    return [pid for pid in below if limits.is_marked(pid)]


ATTACKS = {
    "hangs": ("learn", "while True: pass", Stage.TRAIN, "took longer than 6 s"),
    "sleeps at import": ("supported_hyperparameters", "", Stage.BUILD, "took longer than 6 s"),
    "memory bomb": ("learn", "x = torch.ones(1 << 30)", Stage.TRAIN, "out of memory"),
    "python memory bomb": (
        "learn",
        "x = [bytearray(1 << 24) for _ in range(100)]",
        Stage.TRAIN,
        "out of memory",
    ),
    "shared memory bomb": (
        "learn",
        """
import mmap, time
x = mmap.mmap(-1, 1 << 30)
for at in range(0, 1 << 30, 1 << 24): x[at : at + (1 << 24)] = b"x" * (1 << 24)
time.sleep(600)
""",
        Stage.TRAIN,
        "out of memory",
    ),
    "process bomb": (
        "learn",
        """
import os, time
for _ in range(300):
    if os.fork() == 0: time.sleep(600)
time.sleep(600)
""",
        Stage.TRAIN,
        "started too many processes",
    ),
    "exits": ("learn", "import os; os._exit(0)", Stage.TRAIN, "ended without a result"),
    "crashes": (
        "forward",
        "import ctypes; ctypes.string_at(0)",
        Stage.FORWARD,
        "was killed by SIGSEGV",
    ),
    "kills itself": (
        "learn",
        "import os; os.kill(os.getpid(), 9)",
        Stage.TRAIN,
        "was killed by SIGKILL",
    ),
    "kills its parent": (
        "learn",
        "import os, time; os.kill(os.getppid(), 9); time.sleep(60)",
        Stage.TRAIN,
        "killed its supervisor",
    ),
    "kills its parent and lives on": (
        "learn",
        """
import ctypes, os, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    os.fork()
os.kill(os.getppid(), 9)
time.sleep(60)
""",
        Stage.TRAIN,
        "killed its supervisor",
    ),
    "scribbles on every descriptor": (
        "learn",
        """
import os
for fd in range(256):
    try: os.write(fd, b'{"accuracy": 1.0, "phase": "done"}')
    except OSError: pass
""",
        Stage.JUDGE,
        "broke the result protocol",
    ),
    "sends more logits than images": (
        "learn",
        """
import os, struct
for fd in range(3, 256):
    try: os.write(fd, struct.pack("<cI", b"L", 1 << 31))
    except OSError: pass
""",
        Stage.JUDGE,
        "broke the result protocol",
    ),
    "claims to be further than it is": (
        "learn",
        """
import os, struct
said = b'{"phase": "answer", "epoch": 9}'
for fd in range(3, 256):
    try: os.write(fd, struct.pack("<cI", b"J", len(said)) + said)
    except OSError: pass
""",
        Stage.JUDGE,
        "broke the result protocol",
    ),
    "talks in control characters": (
        "learn",
        r"raise type('Sp\x1b[31mam', (Exception,), {})('a\x07\udcffb' * 9999)",
        Stage.TRAIN,
        "training failed: Sp31mam",
    ),
}


SETTINGS = {"took longer than 6 s": {"wall_s": 6}, "out of memory": {"memory_mb": 600}}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_and_leaves_no_trace(
    start: Start, honest_scores: list[tuple[float, int]], name: str
) -> None:
    place, attack, stage, reason = ATTACKS[name]
    executor = start(**SETTINGS.get(reason, {}))
    code = attacks_in(place, attack) if attack else "import time; time.sleep(60)\n" + HONEST
    refusal = executor.evaluate(candidate(code), SEED)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.stage == stage
    assert reason in refusal.reason
    assert len(refusal.detail) <= 2000
    assert all(c == "\n" or c.isprintable() for c in refusal.reason + refusal.detail)
    assert left_over() == []
    assert scores(executor.evaluate(candidate(), SEED)) == honest_scores


DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
BOMB = """
import os, time
for _ in range(4):
    os.fork()
"""
PATCHES = """
import gc, torch.nn.functional, builtins
torch.nn.functional.cross_entropy = None
torch.Tensor.backward = None
"""
SPOILS_THE_DATA = """
train_data.images.zero_(); train_data.labels.zero_()
import os, glob
for fd in range(3, 256):
    try: os.pwrite(fd, b"spoiled" * 1000, 0)
    except OSError: pass
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        os.pwrite(again, b"spoiled" * 1000, 0)
    except OSError: pass
"""
RAISES_LIMITS = """
import resource
for kind in (resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, 10):
    try: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError): continue
    raise RuntimeError("raised a limit")
"""


@pytest.mark.parametrize("attack", [DAEMON, BOMB, PATCHES, SPOILS_THE_DATA, RAISES_LIMITS])
def test_mischief_harms_nobody_else(
    start: Start, honest_scores: list[tuple[float, int]], attack: str
) -> None:
    result = start().evaluate(candidate(attacks_in("learn", attack)), SEED)
    assert isinstance(result, Evaluation) or "raised a limit" not in result.detail
    assert left_over() == []
    assert scores(start().evaluate(candidate(), SEED)) == honest_scores


def test_nothing_leads_to_the_labels(start: Start, splits: Splits) -> None:
    """Neither objects, nor mapped files, nor descriptors, nor environment and arguments."""
    labels = splits.validation.open_labels()
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    attack = f"""
import gc, glob, hashlib, os
import numpy as np
for thing in gc.get_objects():
    if isinstance(thing, (np.ndarray, torch.Tensor)) and len(thing.shape) == 1:
        data = np.ascontiguousarray(thing.detach().cpu().numpy().astype("<i8")).tobytes()
        assert hashlib.sha256(data).hexdigest() != "{digest}", "labels in memory"
links = [os.readlink(path) for path in glob.glob("/proc/self/fd/*") if os.path.islink(path)]
said = []
for pid in ("self", os.getppid()):
    for name in ("maps", "environ", "cmdline"):
        try: said.append(open(f"/proc/{{pid}}/{{name}}").read())
        except PermissionError: pass
assert "{splits.validation.labels.parent}" not in " ".join(links + said), "a path to the labels"
"""
    result = start().evaluate(candidate(attacks_in("learn", attack)), SEED)
    assert isinstance(result, Evaluation), result


def test_the_labels_are_in_no_memory_but_ours(start: Start, splits: Splits) -> None:
    executor = start()
    code = attacks_in("learn", "import time; time.sleep(600)")
    thread = threading.Thread(target=executor.evaluate, args=(candidate(code), SEED))
    thread.start()
    assert executor._zygote is not None
    zygote = executor._zygote.pid
    while not (workers := processes.children(zygote)):
        time.sleep(0.01)
    try:
        time.sleep(2)
        memory = readable_memory(zygote) + readable_memory(workers[0])
    finally:
        os.kill(workers[0], signal.SIGKILL)
        thread.join()
    assert splits.train.open_labels()[:50].tobytes() in memory  # so the search can find
    labels = splits.validation.open_labels()
    assert labels.tobytes() not in memory
    assert labels.astype("u1").tobytes() not in memory


def readable_memory(pid: int) -> bytes:
    """All memory that has no file behind it."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, mode, *rest = line.split(maxsplit=5)
            file = rest[-1] if len(rest) == 4 and "memfd" not in rest[-1] else ""
            if "r" not in mode or file.startswith(("/", "[v")):
                continue
            first, last = (int(end, 16) for end in span.split("-"))
            memory.seek(first)
            parts.append(memory.read(last - first))
    return b"".join(parts)


def test_answers_must_come_from_the_candidate_in_the_secret_order(start: Start) -> None:
    """A worker that answers by position cannot do better than chance."""
    code = altered(
        "return self.classifier(torch.flatten(self.features(x), 1))",
        "return self.classifier(torch.flatten(self.features(x), 1)) * 0 + torch.eye(4)"
        "[torch.arange(len(x)) % 4]",
    )
    result = start().evaluate(candidate(code), SEED)
    assert isinstance(result, Evaluation)
    assert result.accuracy < 0.5
