"""Runs an experiment: each run is a process of its own, `nngpt cycle run` with the arm's settings.

What is done already is not run again; a run that was killed is carried on.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

from nngpt.config import DATABASE, completed, identity_of
from nngpt.cycle.grid import Cell, Grid
from nngpt.cycle.time_limit import Budget
from nngpt.errors import UserError
from nngpt.store import RunRecord, Store

_INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def run_all(grid: Grid, cells: Sequence[Cell], budget: Budget, log: Callable[[str], None]) -> bool:
    """Run what is not done; True if all is.

    Raises:
        UserError: a run failed (it has said why).
        KeyboardInterrupt: the user stopped a run.
    """
    for number, cell in enumerate(cells, 1):
        if is_done(cell):
            continue
        if budget.left == 0:
            return False
        log(f"Run {number} of {len(cells)}: arm {cell.arm}, seed {cell.seed}")
        _run(grid, cell, budget)
    return all(is_done(cell) for cell in cells)


def is_done(cell: Cell) -> bool:
    """Whether this run has come to its end.

    Raises:
        UserError: it began with other settings.
    """
    path, settings = cell.settings.folder / DATABASE, cell.settings
    if not path.exists():
        return False
    with Store.open(path, create=False) as store:
        run = begun(store, cell)
        if run is None or run.status != "done":
            return False
        closed = {s.cycle for s in store.summary(run.id) if s.closed}
        early = bool(run.ended) and settings.stop.enabled
        return early or closed >= set(range(1, settings.cycles + 1))


def begun(store: Store, cell: Cell) -> RunRecord | None:
    """The cell's run, None if it has not begun.

    Raises:
        UserError: it began with other settings: its figures are not those of this experiment.
    """
    run = store.current_run(cell.settings.name)
    if run is not None and identity_of(completed(run.config)) != cell.settings.identity():
        raise UserError(
            f"run {run.id} {run.name!r} began with other settings",
            where=f"arm {cell.arm}, seed {cell.seed}",
            hint="Set them back, or give the experiment another name or folder.",
        )
    return run


def _run(grid: Grid, cell: Cell, budget: Budget) -> None:
    arguments = [part for override in cell.overrides for part in ("--set", override)]
    if budget.left is not None:
        arguments += ["--budget-minutes", f"{max(0.1, budget.left / 60):.2f}"]
    command = [sys.executable, "-m", "nngpt", "cycle", "run", grid.config, *arguments]
    code = _wait(subprocess.Popen(command))
    if code in _INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise UserError(
            f"this run ended with exit code {code}",
            where=f"arm {cell.arm}, seed {cell.seed}",
            hint="Mend what it said above; the same command carries on.",
        )


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; when the user stops us, it has the time it needs to put its work away."""
    try:
        return process.wait()
    except KeyboardInterrupt as stop:
        # A terminal's Ctrl-C has reached it already; a signal sent to us alone has not.
        if type(stop) is not KeyboardInterrupt:
            process.terminate()
        process.wait()
        raise
