"""`nngpt` in processes that fork from a warm one: what takes seconds to import is there already.

    pytest ── multiprocessing's fork server (has imported MODULES) ── fork ── `nngpt cycle run …`

Each is a process of its own that runs the real command line in its own folder; only the imports
are shared. Tests of starting itself take `command_line.start_nngpt`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from nngpt.cli.main import main

MODULES = (
    *("nngpt.cycle.parts", "nngpt.cli.main", "nngpt.store.store", "alembic.context"),
    *("warm_zygote", "transformers", "peft", "scipy.stats", "lightgbm"),
    *("matplotlib.pyplot", "jinja2", "warm_frozen"),
)
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(list(MODULES))


def run(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `nngpt` with these arguments and variables in `folder`.

    Raises:
        subprocess.TimeoutExpired: it ran longer; it has been killed.
    """
    with tempfile.TemporaryDirectory() as logs:
        said = [Path(logs) / name for name in ("stdout", "stderr")]
        request = (folder, arguments, environment, said)
        process = FORKING.Process(target=_become_nngpt, args=request)
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout_s)
        code = process.exitcode
        process.close()
        out, err = (path.read_text() for path in said)
    return subprocess.CompletedProcess(list(arguments), code, out, err)


def _become_nngpt(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], said: Sequence[Path]
) -> NoReturn:
    os.environ.clear()
    os.environ.update(environment)
    become_nngpt(folder, arguments, *said, first=_fork_zygotes)


def _fork_zygotes() -> None:
    import warm_zygote  # loads torch, which only the fork server should

    warm_zygote.fork_zygotes()


def become_nngpt(
    folder: Path,
    arguments: Sequence[str],
    stdout: Path,
    stderr: Path,
    first: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Make this fork the command line, and end with its exit code; `first` is called before."""
    code = 1
    try:
        for path, target in ((Path(os.devnull), 0), (stdout, 1), (stderr, 2)):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, target)
            os.close(file)
        os.chdir(folder)
        first()
        sys.argv = ["nngpt", *arguments]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (what a person would see)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
