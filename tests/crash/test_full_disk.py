"""A full disk ends a run with one line; with more space the same command resumes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from crash.instant_runs import ONE_OF_EACH
from crash.invariants import database
from crash.killing import KilledRun, Reference
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
    disk: Path, runners: Runners, reference: Reference, tmp_path: Path
) -> None:
    """The disk fills up a little later each time, until the whole run fits."""
    recorded = []
    for size in count(64 * KIB, step=120 * KIB):
        run = KilledRun(runners, ONE_OF_EACH, disk / str(size))
        resize(disk, size)
        ended = run.start().wait()
        if ended.code == 0:
            break
        assert ended.code == 2
        assert ended.stderr.startswith("nngpt: ") and ended.stderr.count("\n") == 1
        assert "disk" in ended.stderr
        recorded.append(len(run.look().history))
        # Creation always fails in the same way; resuming from there once is enough.
        if size == 64 * KIB or database(run.folder).exists():
            resize(disk, ROOMY)
            run.resume(reference(ONE_OF_EACH))
        shutil.rmtree(run.folder)
    assert recorded[0] == 0 and recorded[-1] > ONE_OF_EACH.batch, "the disk filled up at all stages"
