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
    str, typer.Argument(help="A YAML file, or the name of one that nngpt brings.", metavar="CONFIG")
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", help="Change one setting: key.path=value.", metavar="KEY=VALUE"),
]
Seed = Annotated[int | None, typer.Option(help="Random seed (default: the configuration's).")]
Sandbox = Annotated[
    str | None,
    typer.Option(help="Containment of candidates: full, standard, or weak.", metavar="LEVEL"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Folder = Annotated[Path, typer.Option("--folder", help="Where the runs' database lies.")]

_PATHS = {"sandbox": "evaluation.sandbox"}
_START = "Start one: nngpt cycle run smoke-mnist"


def load_config(name: str | None, overrides: list[str], /, **given: Any) -> Config:
    """The configuration (None: the defaults) with `--set` and options. Raises: ConfigError."""
    from nngpt import config

    given = {_PATHS.get(key, key): value for key, value in given.items()}
    extra = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    return config.load(name, [*overrides, *extra])


def open_store(folder: Path) -> Store:
    """The database of a folder, which must be there. Raises: StoreError."""
    from nngpt.store import Store

    return Store.open(check_database(folder), create=False)


def check_database(folder: Path) -> Path:
    """The path of a folder's database, which must be there. Raises: StoreError."""
    path = folder / DATABASE
    if not os.access(path, os.F_OK):
        raise StoreError("no runs here", where=str(path), hint=_START)
    return path


def find_run(store: Store, run: str | None) -> RunRecord:
    """The run with this name or number; the newest if none is given. Raises: StoreError."""
    if run is not None:
        return store.run(run)
    runs = store.runs()
    if not runs:
        raise StoreError("no runs here", where=str(store.path), hint=_START)
    return runs[-1]


def make_folder(path: Path, option: str) -> None:
    """Make a folder, if need be, and see that we may write to it.

    Raises:
        UserError: it cannot be made or written to; `option` is what the user can set instead.
    """
    hint = f"Choose another folder with {option}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError("is a file, not a folder", where=str(path), hint=hint) from None
    except OSError as error:
        why = f"cannot be made ({error.strerror})"
        raise UserError(why, where=str(path), hint=hint) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserError("cannot be written to", where=str(path), hint=hint)


def check_folder(path: Path, option: str) -> None:
    """See that a folder can be made and written to, before long work for it; leaves no trace.

    Raises:
        UserError: as `make_folder`.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path, option)
    for made in missing:
        made.rmdir()


def console(stderr: bool = False) -> Console:
    """A rich console: colours and bars on a terminal, plain lines elsewhere."""
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=140)


def print_json(value: Any) -> None:
    """JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))
