"""Containment layers and levels, sealed memory, and process tools."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from sandbox_samples import candidate

from nngpt.errors import UserError
from nngpt.records import Evaluation
from nngpt.sandbox import containment, processes, sealed_memory
from nngpt.sandbox.containment import Layer, is_marked
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.zygote_client import shared


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    return containment.layers()


def test_a_plain_linux_has_every_required_layer(layers: list[Layer]) -> None:
    found = layers
    assert [layer.name for layer in found if layer.required and not layer.available] == []
    assert {"no-capabilities", "landlock", "seccomp"} <= {layer.name for layer in found}
    assert all(layer.hint for layer in found if not layer.available)


def test_a_worker_has_every_available_layer(
    start: Callable[..., LocalExecutor], layers: list[Layer]
) -> None:
    missing = [layer.name for layer in layers if not layer.available]
    assert start().level == containment.level(missing, "weak")


def test_layers_and_transform_names_need_no_torch() -> None:
    program = (
        "import sys; from nngpt.data import transform_names\n"
        "from nngpt.sandbox import containment; containment.layers()\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("missing", "sandbox", "name"),
    [
        ([], "full", "full"),
        ([], "weak", "full"),
        (["namespaces", "thread-count"], "standard", "standard"),
        (["namespaces", "thread-count"], "weak", "standard"),
        (["namespaces", "rlimits"], "weak", "weak"),
    ],
)
def test_the_level_follows_from_the_missing_layers(
    missing: list[str], sandbox: str, name: str
) -> None:
    level, _, layers = containment.level(missing, sandbox).partition(": ")
    assert level == name
    assert not set(missing) & set(layers.split(", "))
    assert "session" in layers.split(", ")


@pytest.mark.parametrize(
    ("missing", "sandbox", "lacking"),
    [
        (["namespaces"], "full", "namespaces"),
        (["rlimits", "namespaces"], "standard", "rlimits"),
        (["landlock", "seccomp"], "standard", "landlock, seccomp"),
    ],
)
def test_a_missing_layer_is_refused_unless_waived(
    missing: list[str], sandbox: str, lacking: str
) -> None:
    with pytest.raises(UserError, match=rf"the sandbox lacks: {lacking}\. \w+"):
        containment.level(missing, sandbox)


def test_sealed_memory_can_only_be_mapped_privately() -> None:
    array = np.arange(12, dtype=np.int64).reshape(4, 3)
    fd = sealed_memory.sealed("test", sealed_memory.chunks(array, np.array([3, 1, 0, 2])))
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        first = sealed_memory.mapped(fd, (4, 3), np.int64)
        first[:] = -1
        again = sealed_memory.mapped(fd, (4, 3), np.int64)
        assert (again == array[[3, 1, 0, 2]]).all()
        assert sealed_memory.tail(fd, 8) == "\x08" + "\x00" * 7
    finally:
        os.close(fd)


def test_descendants_are_found_and_only_workers_are_marked() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        while len(below := processes.descendants(child.pid)) < 1:
            pass
        assert child.pid in processes.children(os.getpid())
        assert child.pid in processes._children_by_scan(os.getpid())
        assert not is_marked(child.pid)
        processes.kill([*below, child.pid])
    finally:
        child.wait()
    assert processes.descendants(child.pid) == []
    assert processes.status_kib(child.pid, "VmRSS") == 0


def test_the_next_worker_waits_and_is_marked(start: Callable[..., LocalExecutor]) -> None:
    executor = start()
    assert isinstance(executor.evaluate(candidate(), 1), Evaluation)
    deadline = time.monotonic() + 20
    while not [p for p in processes.descendants(shared.running().pid) if is_marked(p)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
