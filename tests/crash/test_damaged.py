"""A flipped bit or a lost page of a run's database is found when it is opened, or changes nothing.

The oracle: opening raises `StoreError`, or all that commands print equals what they print for the
undamaged copy.
"""

from __future__ import annotations

import io
import random
import shutil
import signal
import struct
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from crash.instant_runs import BATCHES, ONE_OF_EACH
from crash.killing import KilledRun, Reference
from crash.runner import Runners
from markupsafe import Markup

from nngpt.cli.main import command_line
from nngpt.errors import StoreError
from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import Plot
from nngpt.reports.run.plots import catalog
from nngpt.store import Store

DAMAGES = 200
IN_SHORT = 12
FILES = ("nngpt.db", "nngpt.db-wal")


@pytest.fixture(scope="module")
def finished(runners: Runners, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run's database."""
    folder = tmp_path_factory.mktemp("finished")
    run = KilledRun(runners, ONE_OF_EACH, folder)
    assert run.start().wait().code == 0
    return folder / "runs"


@pytest.fixture(scope="module")
def unfinished(
    runners: Runners, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the folder of the database of a run that was killed in its second cycle."""
    delay = 0.8 * reference(BATCHES).seconds
    while True:
        folder = tmp_path_factory.mktemp("unfinished")
        run = KilledRun(runners, BATCHES, folder)
        runner = run.start()
        time.sleep(delay)
        runner.send_signal(signal.SIGKILL)
        if run.was_killed(runner):
            return folder / "runs"
        delay *= 0.8


def undrawn(kind: Any, study: Study) -> Plot:
    """Return a figure of a report without drawing it, which takes seconds: all that it may show."""
    return Plot(
        kind.name, kind.title, kind.caption, Markup(sha256(repr(study).encode()).hexdigest())
    )


def printed(folder: Path) -> list[object]:
    """Return what every command prints, or writes to files, of the stored rows of a run."""
    with Store.open(folder / "nngpt.db", create=False) as store:
        attempts = [str(a.id) for run in store.runs() for a in store.attempts(run.id)]
    commands = [
        ["cycle", "status", "--json"],
        ["cycle", "status"],
        ["cycle", "list", "--json"],
        ["cycle", "list"],
        *(["cycle", "show", attempt, "--json"] for attempt in attempts),
        ["lemur", "query", "--folder", "runs", "--json", "--limit", "100"],
        ["lemur", "stats", "--folder", "runs", "--json"],
        ["cycle", "report", "--out", str(folder / "report")],
        ["cycle", "export", "--out", str(folder / "export"), "--best", "20"],
        ["cycle", "confirm", "--json", "--at-least", "100", "--epochs", "2"],
    ]
    found: list[object] = []
    nngpt = command_line()
    with patch.object(catalog, "_plot", undrawn):
        for command in commands:
            # On stderr is only which training ended first.
            with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
                assert not nngpt([*command, "--folder", str(folder)], standalone_mode=False)
            found.append(out.getvalue())
    for part in ("report", "export"):
        files = sorted(path for path in (folder / part).rglob("*") if path.is_file())
        found += ((file.name, sha256(file.read_bytes()).hexdigest()) for file in files)
    return found


def read(folder: Path) -> list[object]:
    """Return all rows of a run as commands get them, in a fraction of the time."""
    with Store.open(folder / "nngpt.db", create=False) as store:
        found: list[object] = list(store.runs())
        for run in store.runs():
            attempts = store.attempts(run.id, with_code=True)
            found += attempts
            found += (store.prompt(attempt.prompt_hash) for attempt in attempts)
            found += (store.transitions(attempt.id) for attempt in attempts)
            found += (store.summary(run.id, arm) for arm in store.arms(run.id))
            found += (store.adapters(run.id), store.activities(run.id), store.forecasts(run.id))
    return found


def damage(folder: Path, draw: random.Random) -> str:
    """Damage one bit or one page of a database or its log; return what was done."""
    here = [folder / name for name in FILES if (folder / name).exists()]
    files = {file: file.stat().st_size for file in here}
    (file,) = draw.choices([*files], [*files.values()])
    content = bytearray(file.read_bytes())
    (size,) = struct.unpack(">H", (folder / "nngpt.db").read_bytes()[16:18])
    end = len(content) if file.suffix == ".db" else _end_of_last_but_one(content, size + 24)
    start = draw.randrange(end) // size * size
    kind = draw.choice(("bit", "bit", "zeros", "noise", "another page"))
    if kind == "bit":
        place = draw.randrange(end)
        content[place] ^= 1 << draw.randrange(8)
        kind = f"bit at {place}"
    else:
        other = draw.randrange(len(content) // size) * size
        wrong = {"zeros": bytes(size), "noise": draw.randbytes(size)}.get(
            kind, content[other : other + size]
        )
        stop = min(start + size, end)
        content[start:stop] = wrong[: stop - start]
    file.write_bytes(content)
    return f"{file.name}: {kind}, page {start // size} of {len(content) // size}"


def _end_of_last_but_one(log: bytes, frame: int) -> int:
    """Return where the last frame of the last transaction but one begins.

    What follows may be lost as by a power cut before the last commit, which is no damage.
    """
    commits = [
        at
        for at in range(32, len(log) - 24, frame)
        if log[at + 8 : at + 16] == log[16:24] and log[at + 4 : at + 8] != bytes(4)
    ]
    return commits[-2]


def damage_and_open(
    whole: Path, folder: Path, count: int, look: Callable[[Path], list[Any]]
) -> dict[str, int]:
    """Damage `count` copies of a database; return how many are found and how many harmless."""
    expected: list[Any] = []
    counts = {"found": 0, "harmless": 0}
    for number in range(-1, count):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in FILES:
            if (whole / name).exists():
                shutil.copy(whole / name, folder)
        if number < 0:
            expected = look(folder)
            continue
        done = damage(folder, random.Random(number))
        try:
            seen = look(folder)
        except StoreError as error:
            assert len(error.line()) < 700 and "\n" not in error.line()
            counts["found"] += 1
        else:
            assert seen == expected, done
            counts["harmless"] += 1
    return counts


@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_damage_is_found_or_harmless(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    whole: Path = request.getfixturevalue(kind)
    counts = damage_and_open(whole, tmp_path / "runs", IN_SHORT, read)
    assert counts["found"] > IN_SHORT / 3


@pytest.mark.crash
@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_much_damage_is_found_or_harmless(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole: Path = request.getfixturevalue(kind)
    counts = damage_and_open(whole, tmp_path / "runs", DAMAGES, printed)
    with capsys.disabled():
        print(f"\n{kind}: {counts}")
