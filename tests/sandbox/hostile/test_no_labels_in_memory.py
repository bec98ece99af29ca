"""Search all processes' memory: validation labels are in the runner's only."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_samples import Running, hostile, lanes_of
from sandbox_samples import candidate

from nngpt.data.splits import Splits
from nngpt.records import Refusal
from nngpt.sandbox import processes
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.zygote_client import shared

CHUNK = 2**20
"""Bytes read at once; all memory of all processes would be many gigabytes."""
WIDEST = 8


def test_the_labels_are_in_no_other_memory(
    start: Callable[..., LocalExecutor], splits: Splits
) -> None:
    executor = start(limit_s=600)  # the worker lives while a busy machine searches
    held = "kept = train_data.labels + 0\nimport ctypes, threading, time\n"
    held += "threading.Thread(target=time.sleep, args=(600,)).start(); time.sleep(600)"
    running = Running(executor, candidate(hostile("learn", held)))
    worker = running.worker()
    below = processes_of(executor)
    known = splits.train.open_labels()[:50].astype("u1").tobytes()  # shows that the search works
    secret = splits.validation.open_labels().astype("u1").tobytes()
    searched = dict[tuple[int, int], set[bytes]]()
    found = dict[int, set[bytes]]()
    try:
        for pid in below:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
                found[pid] = found_in_memory(pid, {known, secret}, searched)
    except PermissionError:
        pytest.skip("this user may not read the memory of a worker")
    finally:
        processes.kill([worker])
        while (second := running.worker()) == worker:  # it is trained once more
            time.sleep(0.01)
        processes.kill([second])
        assert isinstance(running.end(), Refusal)
    assert known in found[worker]
    assert {shared.running().pid, *lanes_of(executor)} <= found.keys()
    assert not any(secret in labels for labels in found.values())


def processes_of(executor: LocalExecutor) -> list[int]:
    """Return the zygote, its waiter, and the executor's lanes and workers."""
    lanes, top = lanes_of(executor), shared.running().pid
    zygote = [pid for pid in processes.children(top) if {*lanes} & {*processes.children(pid)}]
    return [top, *zygote, *lanes, *(pid for lane in lanes for pid in processes.descendants(lane))]


def found_in_memory(
    pid: int, wanted: set[bytes], searched: dict[tuple[int, int], set[bytes]]
) -> set[bytes]:
    """Return the labels, one byte each, that a process has in memory as numbers of 1, 4 or 8 bytes.

    Memory mapped from files is not searched, and what equals memory of another process only once:
    `searched` holds what was found in it, by the hash and the length of the bytes.
    """
    found, before = set[bytes](), b""
    kept = WIDEST * max(map(len, wanted))
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for first, last in readable_spans(pid):
            for place in range(first, last, CHUNK):
                memory.seek(place)
                here = before + memory.read(min(CHUNK, last - place))
                before = here[-kept:]
                if (key := (hash(here), len(here))) not in searched:
                    searched[key] = found_in(here, wanted)
                found |= searched[key]
    return found


def found_in(memory: bytes, wanted: set[bytes]) -> set[bytes]:
    """Return the labels that bytes hold as numbers of 1, 4 or 8 bytes, aligned or not."""
    if memory.count(0) == len(memory):
        return set()
    planes = (memory[offset::width] for width in (1, 4, WIDEST) for offset in range(width))
    return {labels for numbers in planes for labels in wanted if labels in numbers}


def readable_spans(pid: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end address of each span to search, in order."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, mode, *rest = line.split(maxsplit=5)
        file = rest[-1] if len(rest) == 4 and "memfd" not in rest[-1] else ""
        if "r" in mode and not file.startswith(("/", "[v")):
            first, last = (int(end, 16) for end in span.split("-"))
            yield first, last
