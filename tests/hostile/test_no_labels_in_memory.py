"""Seen from outside: validation labels are in no memory but the runner's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from execution_samples import candidate
from hostile_samples import Running, hostile

from nngpt.data.splits import Splits
from nngpt.execution import processes
from nngpt.execution.local import LocalExecutor
from nngpt.execution.supervisor import shared
from nngpt.records import Refusal


def test_the_labels_are_in_no_memory_but_ours(
    start: Callable[..., LocalExecutor], splits: Splits
) -> None:
    executor = start()
    held = "kept = train_data.labels + 0\nimport ctypes, threading, time\n"
    held += "threading.Thread(target=time.sleep, args=(600,)).start(); time.sleep(600)"
    running = Running(executor, candidate(hostile("learn", held)))
    worker = running.worker()
    below = processes.descendants(shared.running().pid)
    try:
        memory = {pid: readable_memory(pid) for pid in below}
    except PermissionError:
        pytest.skip("this user may not read the memory of a worker")
    finally:
        processes.kill([worker])
        assert isinstance(running.end(), Refusal)
    assert splits.train.open_labels()[:50].tobytes() in memory[worker]  # so the search can find
    labels = splits.validation.open_labels()
    for kind in ("i8", "i4", "u1"):
        assert not any(labels.astype(kind).tobytes() in text for text in memory.values())


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
