"""Finds `configs/` and `prompts/`, in a checkout as well as in an installed wheel.

The wheel carries both folders inside the package (`nngpt/configs`, `nngpt/prompts`); in a
checkout they lie beside it.
"""

from __future__ import annotations

from pathlib import Path

DATABASE = "nngpt.db"
"""The database in a folder of runs."""

_PACKAGE = Path(__file__).resolve().parent

SHIPPED = _PACKAGE / "generation" / "models" / "shipped"
"""The adapters that come with nngpt, each in a folder with what it learned."""


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


def corpus_file(path: Path) -> Path:
    """A corpus at a path, or one that comes with nngpt: `smollm2-135m-lemur/full.jsonl.gz`."""
    return SHIPPED / path if not path.exists() and (SHIPPED / path).is_file() else path
