"""Finds `configs/` and `prompts/`, in a checkout as well as in an installed wheel.

The wheel carries both folders inside the package (`nngpt/configs`, `nngpt/prompts`); in a
checkout they lie beside it.
"""

from __future__ import annotations

from pathlib import Path

DATABASE = "nngpt.db"
"""The database in a folder of runs."""

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder `configs` or `prompts`."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def config_file(name: str) -> Path:
    """The file a user means by `smoke-mnist`, `smoke-mnist.yaml` or a path of their own."""
    given = Path(name)
    if given.is_file() or given.parent != Path():
        return given
    return folder("configs") / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
