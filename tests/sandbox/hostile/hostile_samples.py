"""Where an attack can be put, and what must be true after it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from sandbox_samples import HONEST

from nngpt.records import Candidate, Evaluation, Refusal
from nngpt.sandbox import containment, processes
from nngpt.sandbox.executors.local import LocalExecutor

SEED = 11
PLACES = ("import", "__init__", "forward", "learn")
WORKED = "the attack worked"
NAME = f"nngpt-hostile-{os.getpid()}"
"""Part of the name of whatever an attack tries to write, so that it can be found."""

BLIND = """
import torch
from torch import nn


def supported_hyperparameters():
    return {"lr"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(out_shape[0]))

    def forward(self, x):
        return self.answer.repeat(len(x), 1)

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        for inputs, labels in train_data:
            pass
"""
"""A network that looks at no image: whatever it scores beyond chance is forged."""


def hostile(place: str, attack: str, network: str = HONEST) -> str:
    """A network with an attack at the head of a method, or of the file ("import")."""
    lines = attack.strip().splitlines()
    if place == "import":
        head = "from torch import nn\n"
        return network.replace(head, head + "\n".join(lines) + "\n", 1)
    (head,) = (line for line in network.splitlines() if f"def {place}(" in line)
    return network.replace(head, "\n        ".join([head, *lines]), 1)


def attempt(attack: str) -> str:
    """An attack that must fail with an OSError; anything else refuses the candidate."""
    lines = "".join(f"    {line}\n" for line in attack.strip().splitlines())
    return f'try:\n{lines}except OSError: pass\nelse: raise RuntimeError("{WORKED}")'


def gains_nothing(result: Evaluation | Refusal) -> bool:
    """Refused, or no better than guessing one of four classes 97 times (25 % ± 4.4 %)."""
    return isinstance(result, Refusal) or result.accuracy < 0.45


def scores(result: Evaluation | Refusal) -> list[tuple[float, int]]:
    assert isinstance(result, Evaluation), result
    return [(epoch.accuracy, epoch.correct) for epoch in result.epochs]


def need(executor: LocalExecutor, *layers: str) -> None:
    """Skip the test where the machine lacks a layer that it is about."""
    there = executor.level.partition(": ")[2].split(", ")
    if lacking := [layer for layer in layers if layer not in there]:
        pytest.skip(f"this machine lacks the layer {lacking[0]}")


def lanes_of(executor: LocalExecutor) -> list[int]:
    """The processes that run one worker after another."""
    return [lane.pid for lane in executor._pool.lanes if lane.alive]


def left_over(executor: LocalExecutor) -> list[int]:
    """Processes of candidates: all but zygote, lanes, and one waiting worker a lane."""
    found = [pid for pid in processes.children(os.getpid()) if contained(pid)]
    for lane in lanes_of(executor):
        waiting, *others = [*processes.children(lane), 0]
        found += [*processes.descendants(waiting), *others[:-1]] if waiting else []
    return found


def contained(pid: int) -> bool:
    """Whether a process carries a worker's mark."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return False
    return any(
        line.startswith("Max file locks") and str(containment.MARK) in line for line in lines
    )


def written(*folders: Path) -> list[Path]:
    """What attacks left in `folders` and where everybody may write: by name or by owner."""
    everywhere = (*folders, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home())
    entries = (path for folder in everywhere if folder.is_dir() for path in folder.iterdir())
    return [path for path in entries if NAME in path.name or owner(path) == containment.MARK]


def owner(path: Path) -> int:
    """The user id of a file, -1 if it has gone meanwhile."""
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


class Running:
    """An evaluation in a thread of this process; the candidate starts a second thread itself."""

    def __init__(self, executor: LocalExecutor, candidate: Candidate) -> None:
        self.executor, self.candidate = executor, candidate
        self.results: list[Evaluation | Refusal] = []
        self.thread = threading.Thread(target=self._evaluate)
        self.thread.start()

    def _evaluate(self) -> None:
        self.results.append(self.executor.evaluate(self.candidate, SEED))

    def worker(self) -> int:
        """The process of the candidate, once it has its second thread."""
        while self.thread.is_alive():
            below = [pid for lane in lanes_of(self.executor) for pid in processes.children(lane)]
            if busy := [pid for pid in below if processes.tasks(pid) > 1]:
                return busy[0]
            time.sleep(0.01)
        raise AssertionError(f"it ended before: {self.results}")

    def end(self) -> Evaluation | Refusal:
        """How it ended."""
        self.thread.join()
        return self.results[0]
