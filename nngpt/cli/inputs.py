"""Inputs of commands: load configurations, open databases, make folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.store import Store

_PATHS = {"sandbox": "evaluation.sandbox"}


def load_config(name: str | None, overrides: list[str], /, **given: Any) -> Config:
    """Load the configuration of a command (None: the defaults); apply `--set` and options.

    Args:
        given: values by key path; None keeps the configuration's value.

    Raises: ConfigError if a key or value is wrong.
    """
    from nngpt import config

    chosen = {_PATHS.get(key, key): value for key, value in given.items() if value is not None}
    return config.load(name, [*overrides, *config.as_overrides(chosen)])


def open_store(folder: Path) -> Store:
    """Open the existing database of --folder. Raises: StoreError."""
    from nngpt.store.folder import open_runs

    return open_runs(folder)


def make_folder(path: Path, option: str) -> None:
    """Create a command's folder unless it exists, and check that it is writable.

    Args:
        option: option with which the user can choose another folder.

    Raises: UserError if the folder cannot be created or written to.
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
    """Check like `make_folder`, for a command that creates the folder later; leave no trace."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    make_folder(path, option)
    for made in missing:
        made.rmdir()
