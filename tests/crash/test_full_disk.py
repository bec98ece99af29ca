"""A disk that fills up ends a run with one line; with more room the same command carries on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from crash.instant_runs import ONE_OF_EACH
from crash.invariants import database
from crash.killing import Killing, Peace
from crash.runner import Runners

KIB, ROOMY = 1024, 64 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"needs a file system of its own: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=60)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True, timeout=60)


def test_a_full_disk_loses_nothing(
    disk: Path, runners: Runners, peace: Peace, tmp_path: Path
) -> None:
    """The disk is full a little later each time, until there is room for the whole run."""
    recorded = []
    for size in count(64 * KIB, step=40 * KIB):
        run = Killing(runners, ONE_OF_EACH, disk / str(size))
        resize(disk, size)
        ended = run.start().wait()
        if ended.code == 0:
            break
        assert ended.code == 2
        assert ended.said.startswith("nngpt: ") and ended.said.count("\n") == 1
        assert "disk" in ended.said
        recorded.append(len(run.look().history))
        # How creation fails is always the same; carrying on from there once is enough.
        if size == 64 * KIB or database(run.folder).exists():
            resize(disk, ROOMY)
            run.carry_on(peace(ONE_OF_EACH))
        shutil.rmtree(run.folder)
    assert recorded[0] == 0 and recorded[-1] > ONE_OF_EACH.batch, "it was full at all stages"
