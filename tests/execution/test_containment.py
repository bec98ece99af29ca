"""Layers, sealed memory and the process tools."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from execution_samples import make_task

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import UserError
from nngpt.execution import limits, local, memory, processes


def test_every_layer_is_there_on_a_plain_linux() -> None:
    found = limits.layers()
    assert [layer.name for layer in found if not layer.available] == []
    assert "no-capabilities" in {layer.name for layer in found}


def test_layers_and_transform_names_need_no_torch() -> None:
    program = (
        "import sys; from nngpt.execution import limits, transform_names; limits.layers();"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_layer_is_refused_unless_waived(
    splits: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [limits.Layer("session", True, ""), limits.Layer("rlimits", False, "Raise them")]
    monkeypatch.setattr(limits, "layers", lambda: layers)
    with pytest.raises(UserError, match=r"the sandbox lacks: rlimits\. Raise them"):
        local.create(splits, EvaluationConfig(device="cpu"), make_task())
    weak = EvaluationConfig(device="cpu", sandbox="weak")
    with local.create(splits, weak, make_task()) as executor:
        assert executor.level == "weak: session"


def test_sealed_memory_cannot_be_changed_but_mapped_privately() -> None:
    array = np.arange(12, dtype=np.int64).reshape(4, 3)
    fd = memory.sealed("test", memory.chunks(array, np.array([3, 1, 0, 2])))
    try:
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        first = memory.mapped(fd, (4, 3), np.int64)
        first[:] = -1
        again = memory.mapped(fd, (4, 3), np.int64)
        assert (again == array[[3, 1, 0, 2]]).all()
        assert memory.tail(fd, 8) == "\x08" + "\x00" * 7
    finally:
        os.close(fd)


def test_descendants_are_found_and_only_workers_are_marked() -> None:
    child = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        while len(below := processes.descendants(child.pid)) < 1:
            pass
        assert child.pid in processes.children(os.getpid())
        assert child.pid in processes._children_by_scan(os.getpid())
        assert not limits.is_marked(child.pid)
        processes.kill([*below, child.pid])
    finally:
        child.wait()
    assert processes.descendants(child.pid) == []
    assert processes.status_kib(child.pid, "VmRSS") == 0
