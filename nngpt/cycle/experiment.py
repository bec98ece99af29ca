"""Define an experiment, a YAML file of arms and seeds over one configuration, and run it.

Each run is a process `nngpt cycle run` with the arm's settings. Finished runs are not run again; an
interrupted run continues.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, field_validator

from nngpt import config
from nngpt.config import Config
from nngpt.cycle.meter import TimeLimit
from nngpt.errors import ConfigError, UserError, explain
from nngpt.files import DATABASE
from nngpt.plugins import STRICT
from nngpt.reports.experiment.figures import StartedRun
from nngpt.store import RunRecord, Store

_INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]*$"


class Grid(BaseModel):
    """An experiment. `set` and `arms` hold `key.path: value` pairs, as `--set` takes them.

    Attributes:
        name: prefix of its runs, which are named `NAME-ARM-sSEED`.
        config: name or path of the configuration that all runs share.
        set: changes to the configuration in all runs.
        arms: further changes of each arm; the others are compared with the first arm.
        seeds: seeds with which each arm is run.
    """

    model_config = STRICT

    name: str = Field(pattern=_NAME, max_length=30)
    config: str
    set: dict[str, Any] = {}
    arms: dict[str, dict[str, Any] | None] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((1,), min_length=1)

    @field_validator("arms")
    @classmethod
    def _named(cls, arms: dict[str, Any]) -> dict[str, Any]:
        wrong = [arm for arm in arms if not arm.replace("-", "").isalnum() or len(arm) > 20]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no name of at most 20 letters, digits and hyphens")
        return arms

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is given twice: the same run is not a second observation")
        return seeds


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: arm, seed, overrides, and the configuration they give."""

    arm: str
    seed: int
    overrides: tuple[str, ...]
    settings: Config


def load_grid(name: str) -> tuple[Grid, Path]:
    """Read a shipped experiment (`configs/grids`) or the file at a path, and return its path.

    Raises: ConfigError if the file is missing or wrong; all mistakes are in the one message.
    """
    known = config.resource_folder("configs") / "grids" / f"{Path(name).stem}.yaml"
    path = known if known.exists() and Path(name).parent == Path() else Path(name)
    try:
        return Grid.model_validate(config.read_yaml(path, "configs/grids")), path
    except ValidationError as error:
        raise ConfigError(explain(error, Grid), where=str(path)) from None


def cells(grid: Grid, overrides: tuple[str, ...] = ()) -> list[Cell]:
    """Return all cells of an experiment, seed by seed, so that an interrupted one is balanced.

    Raises: ConfigError if an arm's settings are wrong.
    """
    for override in overrides:
        if override.partition("=")[0].strip() in ("name", "seed"):
            hint = "Change name or seeds in the grid."
            raise ConfigError(f"{override!r} would make all runs one", where="--set", hint=hint)
    found = []
    for seed in grid.seeds:
        for arm, changes in grid.arms.items():
            named = {"name": f"{grid.name}-{arm}-s{seed}", "seed": seed}
            given = {**grid.set, **(changes or {}), **named}
            own_settings = [f"{k}={json.dumps(value, default=str)}" for k, value in given.items()]
            settings = (*own_settings, *overrides)
            try:
                found.append(Cell(arm, seed, settings, config.load(grid.config, settings)))
            except ConfigError as error:
                raise ConfigError(error.line(), where=f"arm {arm}") from None
    return found


def run_all(
    grid: Grid, cells: Sequence[Cell], limit: TimeLimit, log: Callable[[str], None]
) -> bool:
    """Run every unfinished cell of an experiment; False if the time limit left some open.

    Raises:
        UserError: a run failed; its own message is on stderr.
        KeyboardInterrupt: the user stopped a run.
    """
    for number, cell in enumerate(cells, 1):
        if _is_finished(cell):
            continue
        if limit.seconds_left == 0:
            return False
        log(f"Run {number} of {len(cells)}: arm {cell.arm}, seed {cell.seed}")
        _run(grid, cell, limit)
    return all(_is_finished(cell) for cell in cells)


def _is_finished(cell: Cell) -> bool:
    """Return whether an experiment's cell has closed all its cycles or ended early.

    Raises: UserError if the run began with other settings.
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
    """Open the run of each cell that an experiment has begun, one after the other.

    Raises: UserError if a run began with other settings, so it does not belong to this experiment.
    """
    for cell in cells:
        path = cell.settings.folder / DATABASE
        if not path.exists():
            continue
        with Store.open(path, create=False) as store:
            run = store.current_run(cell.settings.name)
            if run is not None:
                _check_settings(run, cell)
                threshold = cell.settings.novelty.threshold
                yield StartedRun(cell.arm, cell.seed, threshold, store, run)


def _check_settings(run: RunRecord, cell: Cell) -> None:
    """Check that a run began with its cell's settings. Raises: UserError."""
    if config.identity_of(config.completed(run.config)) != config.identity_of(cell.settings):
        raise UserError(
            f"run {run.id} {run.name!r} began with other settings",
            where=f"arm {cell.arm}, seed {cell.seed}",
            hint="Set them back, or give the experiment another name or folder.",
        )


def _run(grid: Grid, cell: Cell, limit: TimeLimit) -> None:
    """Run a cell in a process. Raises: UserError, KeyboardInterrupt."""
    arguments = [part for override in cell.overrides for part in ("--set", override)]
    if limit.seconds_left is not None:
        arguments += ["--budget-minutes", f"{max(0.1, limit.seconds_left / 60):.2f}"]
    command = [sys.executable, "-m", "nngpt", "cycle", "run", grid.config, *arguments]
    code = _wait(subprocess.Popen(command, stdout=2))  # stdout is for the comparison
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
