"""What an experiment runs: a YAML file of arms and seeds over one configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nngpt import config
from nngpt.config import Config
from nngpt.errors import ConfigError

Settings = Mapping[str, Any]
"""`key.path: value`, as `--set` takes them."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9-]*$"


class Grid(BaseModel):
    """An experiment.

    Attributes:
        name: its runs are called `NAME-ARM-sSEED`.
        config: a configuration's name or path, which all runs share.
        set: what all of them change in it.
        arms: what each arm changes besides; the first is what the others are compared with.
        seeds: each arm is run with each.
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
    def _once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands there twice: the same run is no second observation")
        return seeds


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: its place, its overrides, and the configuration they give."""

    arm: str
    seed: int
    overrides: tuple[str, ...]
    settings: Config


def load(name: str) -> tuple[Grid, Path]:
    """An experiment that nngpt brings (`configs/grids`), or the file at a path.

    Raises:
        ConfigError: it is missing or wrong; all mistakes are in the one message.
    """
    known = config.resource_folder("configs") / "grids" / f"{Path(name).stem}.yaml"
    path = known if known.exists() and Path(name).parent == Path() else Path(name)
    try:
        return Grid.model_validate(config.read_yaml(path)), path
    except ValidationError as error:
        raise ConfigError(config.explain(error, Grid), where=str(path)) from None


def cells(grid: Grid, overrides: tuple[str, ...] = ()) -> list[Cell]:
    """All runs, seed by seed, so that an experiment that is cut short is balanced.

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
