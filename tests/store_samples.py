"""Small records to store in tests."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from nngpt.records import (
    Adapter,
    Candidate,
    Completion,
    EpochResult,
    Evaluation,
    Message,
    Novelty,
    Prompt,
    Refusal,
    Stage,
    Task,
    Trial,
)
from nngpt.store import Lease, RunRecord, Store, database

TASK = Task("cifar10", (1, 3, 32, 32), (10,), threshold=0.4)
PROMPT = Prompt(
    template="features",
    template_hash="0123456789abcdef",
    mode="features",
    messages=(Message("system", "Write layers."), Message("user", "Go.")),
    prefill="nn.Sequential(",
    stop=("\n)",),
)
NOVEL = Novelty(0.25, "lemur:AlexNet", False)
REFUSAL = Refusal(Stage.PARSE, "not Python", "line 1")
migrate = database._initialise
"""Makes a new database; outside of tests/store, the tests' processes copy an empty one instead."""


@cache
def empty_database() -> bytes:
    """Return the file of an empty database: migrations would take 0.2 s each time."""
    with tempfile.TemporaryDirectory() as folder:
        return migrate(Path(folder) / "nngpt.db").read_bytes()


def copy_empty(draft: Path) -> Path:
    """Write an empty database, in place of `migrate`."""
    draft.write_bytes(empty_database())
    return draft


def open_new(path: Path) -> Store:
    """Open a new store at `path`, copied from an empty one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return Store.open(copy_empty(path))


def start(store: Store, name: str = "demo", **config: Any) -> RunRecord:
    return store.start_run(name, {"name": name, **config}, {"name": name}, seed=7)


def completion(
    index: int = 0, text: str = "nn.Flatten()\n)", adapter: str | None = None
) -> Completion:
    return Completion(text, "tiny", adapter, 11, index, 20, 5, 0.5, True)


def candidate(code: str = "class Net: pass\n", transform: str = "norm") -> Candidate:
    return Candidate(code, "nn.Flatten()", "features", {"lr": 0.01, "momentum": 0.9}, transform, 64)


def evaluation(*accuracies: float) -> Evaluation:
    epochs = tuple(
        EpochResult(number, accuracy, round(accuracy * 100), 100, 1.5)
        for number, accuracy in enumerate(accuracies or (0.5,), start=1)
    )
    return Evaluation(
        epochs,
        1234,
        4.0,
        "cpu",
        3,
        "standard: seccomp",
        250.5,
        cpu_s=3.5,
        claimed_flops=2**40,
        claimed_latency_ms=0.25,
        claimed_batches=63,
        protocol='{"epochs":1}',
        trials=(Trial(3, 1, 0.25, 50), Trial(3, 2, 0.75, 50)),
    )


def adapter(name: str, parent: str | None = None) -> Adapter:
    return Adapter(
        name, f"/a/{name}", "tiny", "d1", parent, "c1", 4, 99, 2.0, 1.0, 9.0, '{"rank":8}'
    )


def write(lease: Lease, count: int = 1, cycle: int = 1, batch: int = 0) -> list[int]:
    return lease.add_completions(cycle, batch, PROMPT, [completion(i) for i in range(count)])


def bring_to_training(lease: Lease, attempt_id: int, code: str = "class Net: pass\n") -> None:
    lease.parsed(attempt_id, candidate(code))
    lease.validated(attempt_id)
    lease.training(attempt_id)


def admit(lease: Lease, attempt_id: int, code: str = "class Net: pass\n") -> None:
    bring_to_training(lease, attempt_id, code)
    lease.trained(attempt_id, evaluation(0.5), TASK)
    lease.judged(attempt_id, NOVEL)
    lease.admit(attempt_id)
