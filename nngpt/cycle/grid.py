"""Define an experiment: a YAML file of arms and seeds over one configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nngpt import config
from nngpt.config import Config
from nngpt.errors import ConfigError, explain

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

    model_config = ConfigDict(frozen=True, extra="forbid")

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


def load(name: str) -> tuple[Grid, Path]:
    """Read a shipped experiment (`configs/grids`) or the file at a path, and return its path.

    Raises:
        ConfigError: the file is missing or wrong; all mistakes are in the one message.
    """
    known = config.resource_folder("configs") / "grids" / f"{Path(name).stem}.yaml"
    path = known if known.exists() and Path(name).parent == Path() else Path(name)
    try:
        return Grid.model_validate(config.read_yaml(path)), path
    except ValidationError as error:
        raise ConfigError(explain(error, Grid), where=str(path)) from None


def cells(grid: Grid, overrides: tuple[str, ...] = ()) -> list[Cell]:
    """Return all runs, seed by seed, so that an interrupted experiment is balanced.

    Raises:
        ConfigError: an arm's settings are wrong.
    """
    own = [text for text in overrides if text.partition("=")[0].strip() in ("name", "seed")]
    if own:
        hint = "Change name or seeds in the grid."
        raise ConfigError(f"{own[0]!r} would make all runs one", where="--set", hint=hint)
    found = []
    for seed in grid.seeds:
        for arm, changes in grid.arms.items():
            named = {"name": f"{grid.name}-{arm}-s{seed}", "seed": seed}
            given = {**grid.set, **(changes or {}), **named}
            settings = tuple(
                f"{key}={json.dumps(value, default=str)}" for key, value in given.items()
            )
            try:
                loaded = config.load(grid.config, [*settings, *overrides])
            except ConfigError as error:
                raise ConfigError(error.line(), where=f"arm {arm}") from None
            found.append(Cell(arm, seed, (*settings, *overrides), loaded))
    return found
