"""Options and helpers that several commands share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.errors import StoreError, UserError
from nngpt.files import DATABASE

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.store import RunRecord, Store

ConfigName = Annotated[
    str, typer.Argument(help="YAML file, or name of a shipped configuration.", metavar="CONFIG")
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", help="Change one setting, such as task.threshold=0.5.", metavar="KEY=VALUE"
    ),
]
Seed = Annotated[int | None, typer.Option(help="Random seed (default: the configuration's).")]
Sandbox = Annotated[
    str | None,
    typer.Option(help="Containment level of candidates: full, standard or weak.", metavar="LEVEL"),
]
RunName = Annotated[str | None, typer.Argument(help="Number or name of a run (default: newest).")]
BudgetMinutes = Annotated[
    float | None,
    typer.Option(help="Stop after this many minutes; the same command resumes.", min=0.1),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder of the runs' database.")]

_PATHS = {"sandbox": "evaluation.sandbox"}
_START = "Start one: nngpt cycle run smoke-mnist"


def load_config(name: str | None, overrides: list[str], /, **given: Any) -> Config:
    """Load a configuration (None: the defaults) and apply `--set` and options.

    Args:
        given: values by key path; None keeps the configuration's value.

    Raises:
        ConfigError: a key or value is wrong.
    """
    from nngpt import config

    given = {_PATHS.get(key, key): value for key, value in given.items()}
    extra = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    return config.load(name, [*overrides, *extra])


def open_store(folder: Path) -> Store:
    """Open the existing database of a folder. Raises: StoreError."""
    from nngpt.store import Store

    return Store.open(check_database(folder), create=False)


def check_database(folder: Path) -> Path:
    """Return the path of a folder's existing database. Raises: StoreError."""
    path = folder / DATABASE
    if not os.access(path, os.F_OK):
        raise StoreError("no runs here", where=str(path), hint=_START)
    return path


def find_run(store: Store, run: str | None) -> RunRecord:
    """Find a run by name or number, None for the newest. Raises: StoreError."""
    if run is not None:
        return store.run(run)
    runs = store.runs()
    if not runs:
        raise StoreError("no runs here", where=str(store.path), hint=_START)
    return runs[-1]


def make_folder(path: Path, option: str) -> None:
    """Create a folder unless it exists, and check that it is writable.

    Args:
        option: option with which the user can choose another folder.

    Raises:
        UserError: the folder cannot be created or written to.
    """
    hint = f"Choose another folder with {option}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError("is a file, not a folder", where=str(path), hint=hint) from None
    except OSError as error:
        why = f"cannot be created ({error.strerror})"
        raise UserError(why, where=str(path), hint=hint) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError("cannot be written to", where=str(path), hint=hint)


def check_folder(path: Path, option: str) -> None:
    """Check that a folder can be created and written to, and leave no trace.

    Raises:
        UserError: as `make_folder`.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path, option)
    for made in missing:
        made.rmdir()


def console(stderr: bool = False) -> Console:
    """Return a rich console: colours and bars on a terminal, plain lines elsewhere."""
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=140)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))
