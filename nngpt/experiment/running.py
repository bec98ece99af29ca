"""Runs an experiment: each run is a process of its own, `nngpt cycle run` with the arm's settings.

What is done already is not run again; a run that was killed is carried on.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from nngpt.errors import UserError
from nngpt.experiment.grid import Cell, Grid
from nngpt.resources import DATABASE
from nngpt.steering.budget import Budget
from nngpt.store import Store

_INTERRUPTED = (130, 143)


def run_all(grid: Grid, cells: Sequence[Cell], budget: Budget, say: Callable[[str], None]) -> bool:
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
        say(f"Run {number} of {len(cells)}: arm {cell.arm}, seed {cell.seed}")
        _run(grid, cell, budget)
    return all(is_done(cell) for cell in cells)


def is_done(cell: Cell) -> bool:
    """Whether this run has come to its end; with other settings it is not the same run."""
    path = cell.settings.folder / DATABASE
    if not path.exists():
        return False
    with Store.open(path, create=False) as store:
        run = store.current_run(cell.settings.name)
        if run is None or run.status != "done":
            return False
        closed = {s.cycle for s in store.summary(run.id) if s.closed}
        return bool(run.ended) or closed >= set(range(1, cell.settings.cycles + 1))


def _run(grid: Grid, cell: Cell, budget: Budget) -> None:
    arguments = [part for override in cell.overrides for part in ("--set", override)]
    if budget.left is not None:
        arguments += ["--budget-minutes", f"{max(0.1, budget.left / 60):.2f}"]
    command = [sys.executable, "-m", "nngpt", "cycle", "run", grid.config, *arguments]
    code = subprocess.run(command, check=False).returncode
    if code in _INTERRUPTED or code < 0:
        raise KeyboardInterrupt
    if code:
        raise UserError(
            f"this run ended with exit code {code}",
            where=f"arm {cell.arm}, seed {cell.seed}",
            mend="Mend what it said above; the same command carries on.",
        )
