"""Run an experiment's runs, each as a process `nngpt cycle run` with the arm's settings.

Finished runs are not run again; an interrupted run continues.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from nngpt.config import completed, identity_of
from nngpt.cycle.grid import Cell, Grid
from nngpt.cycle.time_limit import TimeLimit
from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.reports.experiment.figures import StartedRun
from nngpt.store import RunRecord, Store

_INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def run_all(
    grid: Grid, cells: Sequence[Cell], limit: TimeLimit, log: Callable[[str], None]
) -> bool:
    """Run every cell that is not finished; return False if the time limit left some open.

    Raises:
        UserError: a run failed; its own message is on stderr.
        KeyboardInterrupt: the user stopped a run.
    """
    for number, cell in enumerate(cells, 1):
        if is_finished(cell):
            continue
        if limit.seconds_left == 0:
            return False
        log(f"Run {number} of {len(cells)}: arm {cell.arm}, seed {cell.seed}")
        _run(grid, cell, limit)
    return all(is_finished(cell) for cell in cells)


def is_finished(cell: Cell) -> bool:
    """Return whether a cell's run has closed all its cycles or ended early.

    Raises:
        UserError: the run began with other settings.
    """
    for started in started_runs([cell]):
        run, settings = started.run, cell.settings
        if run.status != "done":
            return False
        closed = {s.cycle for s in started.store.summary(run.id) if s.closed}
        early = bool(run.ended) and settings.stop.enabled
        return early or closed >= set(range(1, settings.cycles + 1))
    return False


def started_runs(cells: Sequence[Cell]) -> Iterator[StartedRun]:
    """Open the run of each cell that has begun, one after the other.

    Raises:
        UserError: a run began with other settings, so it does not belong to this experiment.
    """
    for cell in cells:
        path = cell.settings.folder / DATABASE
        if not path.exists():
            continue
        with Store.open(path, create=False) as store:
            run = _run_of(store, cell)
            if run is not None:
                threshold = cell.settings.novelty.threshold
                yield StartedRun(cell.arm, cell.seed, threshold, store, run)


def _run_of(store: Store, cell: Cell) -> RunRecord | None:
    """Return a cell's run, None if it has not begun. Raises: UserError."""
    run = store.current_run(cell.settings.name)
    if run is not None and identity_of(completed(run.config)) != cell.settings.identity():
        raise UserError(
            f"run {run.id} {run.name!r} began with other settings",
            where=f"arm {cell.arm}, seed {cell.seed}",
            hint="Set them back, or give the experiment another name or folder.",
        )
    return run


def _run(grid: Grid, cell: Cell, limit: TimeLimit) -> None:
    """Run a cell in a process. Raises: UserError, KeyboardInterrupt."""
    arguments = [part for override in cell.overrides for part in ("--set", override)]
    if limit.seconds_left is not None:
        arguments += ["--budget-minutes", f"{max(0.1, limit.seconds_left / 60):.2f}"]
    command = [sys.executable, "-m", "nngpt", "cycle", "run", grid.config, *arguments]
    code = _wait(subprocess.Popen(command))
    if code in _INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise UserError(
            f"this run ended with exit code {code}",
            where=f"arm {cell.arm}, seed {cell.seed}",
            hint="Fix the error above; the same command continues.",
        )


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Return a process's exit code; if the user stops us, let the process save its work first."""
    try:
        return process.wait()
    except KeyboardInterrupt as stop:
        # A terminal's Ctrl-C has reached the process already; a signal sent to us alone has not.
        if type(stop) is not KeyboardInterrupt:
            process.terminate()
        process.wait()
        raise
