"""`nngpt` in processes that fork from a warm one: what takes seconds to import is there already.

    pytest ── multiprocessing's fork server (has imported MODULES) ── fork ── `nngpt cycle run …`

Each is a process of its own that runs the real command line in its own folder; only the imports
are shared. Its zygotes and the runs of an experiment are forks, too. Tests of starting itself take
`command_line.start_nngpt`.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from nngpt.cli.main import main

MODULES = (
    *("nngpt.cycle.parts", "nngpt.cycle.experiment", "nngpt.cli.main", "nngpt.store.store"),
    *("alembic.context", "warm_zygote", "transformers", "peft", "scipy.stats", "lightgbm"),
    *("matplotlib.pyplot", "jinja2", "warm_frozen"),
)
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(list(MODULES))
_LOOK_S = 0.005
_LARGE_PAGE = 2 << 20
_MADV_COLLAPSE = 25


def freeze() -> None:
    """Prepare this process for many forks: they take 25 ms of CPU time instead of 75.

    Garbage collectors of forks leave frozen objects alone: a collection would write to each object,
    and so copy hundreds of megabytes. Large pages make page tables, which a fork copies, small.
    """
    gc.collect()
    gc.freeze()
    advise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, mode, _, _, inode, *name = line.split(maxsplit=5)
        if mode.startswith("rw") and inode == "0" and name in ([], ["[heap]"]):
            first, last = (int(end, 16) // _LARGE_PAGE for end in span.split("-"))
            if last > first + 1:  # an older kernel refuses, which harms nothing
                place, size = (first + 1) * _LARGE_PAGE, (last - first - 1) * _LARGE_PAGE
                advise(ctypes.c_void_p(place), ctypes.c_size_t(size), _MADV_COLLAPSE)


class Started:
    """A command that runs, and cannot import the packages `without`.

    Attributes:
        pid: process id.
        stdout, stderr: files with what it has written so far; `wait` removes them.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        without: Sequence[str] = (),
    ) -> None:
        self._arguments, self._logs = list(arguments), tempfile.TemporaryDirectory()
        self.stdout, self.stderr = (Path(self._logs.name) / name for name in ("out", "err"))
        said = self.stdout, self.stderr
        request = (folder, arguments, dict(environment), without, *said)
        self._process = FORKING.Process(target=_become_nngpt, args=request)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def ended(self) -> bool:
        """Return True if the command has ended."""
        return self._process.exitcode is not None

    @property
    def printed(self) -> str:
        """Return what the command has printed so far."""
        return self.stdout.read_text() if self.stdout.exists() else ""

    def wait_for(self, words: str) -> None:
        """Wait until the command has printed a line with these words, at least."""
        while words not in self.printed:
            assert not self.ended, self.stderr.read_text()
            time.sleep(_LOOK_S)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Wait for the end. Raises: subprocess.TimeoutExpired if it ran longer; it is killed."""
        self._process.join(timeout_s)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        self._process.close()
        with self._logs:
            if code is None:
                raise subprocess.TimeoutExpired(self._arguments, timeout_s)
            said = [path.read_text() for path in (self.stdout, self.stderr)]
        return subprocess.CompletedProcess(self._arguments, code, *said)


def _become_nngpt(
    folder: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    without: Sequence[str],
    stdout: Path,
    stderr: Path,
) -> NoReturn:
    sys.modules.update(dict.fromkeys(without))  # type: ignore[arg-type]
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path += [folder for folder in folders if folder and folder not in sys.path]
    os.environ.clear()
    os.environ.update(environment)
    become_nngpt(folder, arguments, stdout, stderr, first=_fork_instead_of_starting)


def _fork_instead_of_starting() -> None:
    # They load torch and more, which only the fork server should.
    import warm_zygote

    from nngpt.cycle import experiment

    warm_zygote.fork_zygotes()
    experiment.subprocess = SimpleNamespace(Popen=_ForkedRun)  # type: ignore[attr-defined]


class _ForkedRun(subprocess.Popen[bytes]):
    """`subprocess.Popen` of a command line of nngpt, with a fork in place of fork and exec."""

    def _execute_child(self, *given: Any) -> None:
        command = given[0]
        assert list(command[1:3]) == ["-m", "nngpt"]
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run(command[3:], lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
        self._child_created = True


def become_nngpt(
    folder: Path,
    arguments: Sequence[str],
    stdout: Path,
    stderr: Path,
    first: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Make this fork the command line, and end with its exit code; `first` is called before."""

    def prepare() -> None:
        for path, target in ((Path(os.devnull), 0), (stdout, 1), (stderr, 2)):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, target)
            os.close(file)
        os.chdir(folder)
        # Shells start background jobs, such as `make test &`, with SIGINT ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        first()

    _run(arguments, prepare)


def _run(arguments: Sequence[str], first: Callable[[], object]) -> NoReturn:
    code = 1
    try:
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
