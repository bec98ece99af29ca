"""Read networks from Python files, folders and JSONL files, reporting what cannot be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nngpt.errors import UserError
from nngpt.files import decode
from nngpt.novelty.dedup.collection import FoundNetwork, SkippedItem
from nngpt.novelty.dedup.jsonl import read_lines
from nngpt.store.lemur.queries import family

LARGEST = 16 * 2**20
"""Maximum size of a network's file, in bytes."""

_JSONL = (".jsonl", ".ndjson")
Progress = Callable[[int, int], None]


def read_paths(
    paths: Sequence[Path], progress: Progress | None = None
) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    """Read dedup's source files: Python files, folders of them, and JSONL files.

    Folders are searched to any depth for `*.py`; links to folders are not followed. A file found
    twice counts once.

    Returns:
        The networks, and the items that were skipped.

    Raises:
        UserError: a path does not exist, or is neither a folder nor a `.py` or `.jsonl` file.
    """
    kinds = [(path, _kind(path)) for path in paths]
    found: list[FoundNetwork] = []
    skipped: list[SkippedItem] = []
    places: list[_Place] = []
    for path, kind in kinds:
        if kind == "folder":
            places += _search(path, skipped)
        elif kind == "network":
            places.append(_place(path))
    seen: dict[str, Path] = {}
    for number, place in enumerate(places, 1):
        real = os.path.realpath(place.real) if place.linked else place.real
        if real in seen:
            skipped.append(SkippedItem(str(place.file), f"the same file as {seen[real]}"))
            continue
        seen[real] = place.file
        one = _read(place)
        if isinstance(one, SkippedItem):
            skipped.append(one)
        else:
            found.append(one)
        if progress is not None and number % 100 == 0:
            progress(number, len(places))
    for path in dict.fromkeys(path for path, kind in kinds if kind == "lines"):
        lines, broken = read_lines(path)
        found += lines
        skipped += broken
    return found, skipped


def read_network(path: Path) -> FoundNetwork:
    """Read the network in one Python file.

    Raises:
        UserError: the file cannot be read.
    """
    one = _read(_place(path))
    if isinstance(one, SkippedItem):
        raise UserError(one.reason, where=one.where)
    return one


@dataclass(frozen=True)
class _Place:
    """A file to read.

    Attributes:
        file: path as the user would write it.
        real: absolute path in which only the last part may be a link.
        short: number of parts of `real` below the folder that the user gave.
        linked: True if the file itself is a link.
    """

    file: Path
    real: str
    short: int
    linked: bool


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path)) from None
    if stat.S_ISDIR(mode):
        return "folder"
    if path.suffix in _JSONL:
        return "lines"
    if path.suffix == ".py":
        return "network"
    hint = "Give folders, .py or .jsonl files"
    if path.suffix in (".whl", ".db"):
        hint = f"Import it (nngpt lemur import {path}), then: nngpt dedup --lemur"
    raise UserError("is not a collection of networks", where=str(path), hint=hint)


def _search(root: Path, skipped: list[SkippedItem]) -> Iterator[_Place]:
    """Yield the Python files below `root`, sorted by name."""

    def unreadable(error: OSError) -> None:
        reason = f"the folder cannot be read ({error.strerror})"
        skipped.append(SkippedItem(str(error.filename), reason))

    start, base = str(root), str(root.resolve())
    for folder, folders, files in os.walk(start, onerror=unreadable):
        folders.sort()
        for name in folders:
            if (path := Path(folder, name)).is_symlink():
                skipped.append(SkippedItem(str(path), "a link to a folder, not followed"))
        inside = os.path.relpath(folder, start)
        depth = 0 if inside == "." else inside.count("/") + 1
        real = os.path.normpath(f"{base}/{inside}")
        for name in sorted(files):
            if name.endswith(".py"):
                file = Path(folder, name)
                yield _Place(file, f"{real}/{name}", depth + 1, file.is_symlink())


def _place(path: Path) -> _Place:
    return _Place(path, str(path.parent.resolve() / path.name), 1, path.is_symlink())


def _read(place: _Place) -> FoundNetwork | SkippedItem:
    try:
        facts = place.file.stat()
        if not stat.S_ISREG(facts.st_mode):
            return SkippedItem(str(place.file), "not a regular file")
        if facts.st_size > LARGEST:
            return SkippedItem(str(place.file), f"larger than {LARGEST >> 20} MiB")
        raw = place.file.read_bytes()
        code = decode(raw)
    except OSError as error:
        return SkippedItem(str(place.file), f"cannot be read ({error.strerror})")
    except ValueError as error:
        return SkippedItem(str(place.file), str(error))
    if not code.strip():
        return SkippedItem(str(place.file), "empty")
    parts = tuple(place.real.split("/")[1:])
    return FoundNetwork(
        parts=parts,
        short=place.short,
        code=code,
        family=family(parts[-1].removesuffix(".py")),
        accuracy=None,
        source=str(place.file),
        original=None if code.encode("utf-8", "surrogatepass") == raw else raw,
    )
