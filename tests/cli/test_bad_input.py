"""A fuzz: bad command lines and files of every kind, for all commands.

Each ends with exit code 2 (3 for a broken sandbox) and a few short lines, without a traceback; it
writes nothing. `make test-fuzz` runs every line; the ordinary suite runs a few of each kind.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_files import make_ground
from bad_lines import Line, lines
from command_line import run_nngpt

HANGS_S = 60.0
ALL = list(lines())
FEW = 30


def thinned() -> list[Line]:
    """Return a line for each of some forty faults, spread over the commands."""
    by_fault: dict[str, list[Line]] = {}
    for line in ALL:
        by_fault.setdefault(line.fault.rpartition(": ")[2], []).append(line)
    faults = sorted(by_fault, key=lambda fault: hashlib.md5(fault.encode()).digest())[:FEW]
    return [by_fault[fault][number % len(by_fault[fault])] for number, fault in enumerate(faults)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with good inputs, in which all lines run."""
    folder = tmp_path_factory.mktemp("ground")
    make_ground(folder)
    yield folder


def snapshot(folder: Path) -> dict[str, str]:
    """Return a digest of each file below a folder, "" for what is no file.

    SQLite's -wal and -shm are left out: a reader makes them, or leaves them empty.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o400
        else ""
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-wal", "-shm"))
    }


def check(line: Line, ground: Path) -> None:
    """Run a line; check its exit code, its lines, and that it wrote nothing."""
    file = ground / (line.name or "bad")
    if line.write is not None:
        line.write(file)
    try:
        before = snapshot(ground)
        done = run_nngpt(ground, line.arguments, timeout_s=HANGS_S)
        said = f"{done.stdout[-500:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stdout + done.stderr, said
        assert done.returncode in (2, 3), said
        told = (done.stderr or done.stdout).splitlines()  # cycle check prints what is damaged
        assert told and len(told) <= 8, said
        assert all(len(one) <= 500 and one.isprintable() for one in told), said
        assert told[-1].startswith("nngpt: ") or not done.stderr, said
        assert snapshot(ground) == before, said
    finally:
        _remove(file)


def _remove(file: Path) -> None:
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    else:
        file.unlink(missing_ok=True)


@pytest.mark.parametrize("line", thinned(), ids=lambda line: line.id)
def test_a_line_of_each_kind(line: Line, ground: Path) -> None:
    check(line, ground)


@pytest.mark.fuzz
@pytest.mark.parametrize("line", ALL, ids=lambda line: line.id)
def test_every_line(line: Line, ground: Path) -> None:
    check(line, ground)


def test_the_fuzz_covers_all_commands() -> None:
    assert len(ALL) >= 400
    assert len({line.id for line in ALL}) == len(ALL)
