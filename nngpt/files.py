"""Files that appear whole or not at all, and the files that come with nngpt.

`configs/` and `prompts/` lie beside the package in a checkout and inside it in a wheel.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nngpt.errors import DataError

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


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal checksum of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def matches(data: bytes, checksum: str) -> bool:
    """True if `data` has this sha256 or, for 32 digits, this md5 (as old data sets publish)."""
    algorithm = "md5" if len(checksum) == 32 else "sha256"
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == checksum


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; other processes wait. The system frees it with the process.

    Raises:
        DataError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        mend = "Set NNGPT_CACHE to a folder you may write"
        what = f"cannot be written ({error.strerror})"
        raise DataError(what, where=str(path), mend=mend) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, removed at the end; the caller holds `target`'s lock.

    Its name is fixed, so what a killed process left behind is removed by the next one.
    """
    folder = target.parent / f".{target.name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(source: Path, target: Path) -> None:
    """Move a finished file or folder to its name, durably: all of it is there, or nothing."""
    files = [path for path in source.iterdir() if path.is_file()] if source.is_dir() else []
    for path in (*files, source):
        _sync(path)
    if target.is_dir():
        shutil.rmtree(target)
    source.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
