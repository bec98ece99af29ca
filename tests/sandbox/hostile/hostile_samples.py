"""Hostile networks, and checks of the state after an attack."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
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
"""Part of the name of every file that an attack tries to write, so that it can be found."""

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
"""A network that ignores the images: any score above chance is forged."""


def hostile(place: str, attack: str, network: str = HONEST) -> str:
    """Return a network with an attack at the start of a method, or of the file ("import")."""
    lines = attack.strip().splitlines()
    if place == "import":
        head = "from torch import nn\n"
        return network.replace(head, head + "\n".join(lines) + "\n", 1)
    (head,) = (line for line in network.splitlines() if f"def {place}(" in line)
    return network.replace(head, "\n        ".join([head, *lines]), 1)


def attempt(attack: str) -> str:
    """Return code of an attack that must fail with an OSError, or the candidate is refused."""
    lines = "".join(f"    {line}\n" for line in attack.strip().splitlines())
    message = f"{WORKED}: {attack}"
    return f"try:\n{lines}except OSError: pass\nelse: raise RuntimeError({message!r})"


def everywhere(attack: str, network: str = HONEST) -> dict[str, str]:
    """Return a hostile network for each place of the attack."""
    return {place: hostile(place, attack, network) for place in PLACES}


def gains_nothing(result: Evaluation | Refusal) -> bool:
    """Return True if refused or no better than guessing 1 of 4 classes 97 times (25% ± 4.4%)."""
    return isinstance(result, Refusal) or result.accuracy < 0.45


def scores(result: Evaluation | Refusal) -> list[tuple[float, int]]:
    assert isinstance(result, Evaluation), result
    return [(epoch.accuracy, epoch.correct) for epoch in result.epochs]


def need(executor: LocalExecutor, *layers: str) -> None:
    """Skip the test if the machine lacks one of the layers that it tests."""
    there = executor.level.partition(": ")[2].split(", ")
    if lacking := [layer for layer in layers if layer not in there]:
        pytest.skip(f"this machine lacks the layer {lacking[0]}")


def lanes_of(executor: LocalExecutor) -> list[int]:
    """Return the process ids of the lanes that are alive."""
    return [lane.pid for lane in executor._pool.lanes if lane.alive]


def left_over(executor: LocalExecutor) -> list[int]:
    """Return processes of candidates: all except zygote, lanes, and one waiting worker per lane."""
    found = [pid for pid in processes.children(os.getpid()) if contained(pid)]
    for lane in lanes_of(executor):
        waiting, *others = [*processes.children(lane), 0]
        found += [*processes.descendants(waiting), *others[:-1]] if waiting else []
    return found


def contained(pid: int) -> bool:
    """Return True if a process carries a worker's mark."""
    try:
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    except OSError:
        return False
    return any(
        line.startswith("Max file locks") and str(containment.MARK) in line for line in lines
    )


def written(*folders: Path) -> list[Path]:
    """Return files that attacks left in `folders` and in world-writable ones, by name or owner."""
    places = (*folders, Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home())
    entries = (path for folder in places if folder.is_dir() for path in folder.iterdir())
    return [path for path in entries if NAME in path.name or owner(path) == containment.MARK]


def owner(path: Path) -> int:
    """Return the user id of a file, -1 if it has been deleted meanwhile."""
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


class Running:
    """An evaluation in a thread of this process, of a candidate that starts a second thread."""

    def __init__(self, executor: LocalExecutor, candidate: Candidate) -> None:
        self.executor, self.candidate = executor, candidate
        self.results: list[Evaluation | Refusal] = []
        self.thread = threading.Thread(target=self._evaluate)
        self.thread.start()

    def _evaluate(self) -> None:
        self.results.append(self.executor.evaluate(self.candidate, SEED))

    def worker(self) -> int:
        """Wait for the candidate's second thread and return its process id."""
        while self.thread.is_alive():
            if busy := self._busy():
                return busy[0]
            time.sleep(0.01)
        raise AssertionError(f"it ended before: {self.results}")

    def end(self) -> Evaluation | Refusal:
        """Send SIGUSR1 to the candidate until the evaluation ends; return its outcome."""
        while self.thread.is_alive():
            for pid in self._busy():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR1)
            self.thread.join(0.01)
        return self.results[0]

    def _busy(self) -> list[int]:
        below = [pid for lane in lanes_of(self.executor) for pid in processes.children(lane)]
        return [pid for pid in below if processes.tasks(pid) > 1]
