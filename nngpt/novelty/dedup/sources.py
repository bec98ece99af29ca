"""Read the networks to deduplicate: Python files, folders, JSONL files, and the LEMUR mirror."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from sqlalchemy import func, select

from nngpt.errors import StoreError, UserError, nearest
from nngpt.files import DATABASE, decode
from nngpt.generation.contract import answers
from nngpt.novelty.dedup.collection import Collection, FoundNetwork, Network, SkippedItem, collect
from nngpt.records import Refusal
from nngpt.store import Store
from nngpt.store.lemur.mirror import check_column, family, open_mirror
from nngpt.store.lemur_tables import nn, stat

LARGEST = 16 * 2**20
"""Maximum size of a network's file, in bytes."""

_JSONL = (".jsonl", ".ndjson")
Progress = Callable[[int, int], None]


def read_lines(path: Path) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    """Read the networks of a JSONL file, skipping and reporting broken lines.

    The code is in `code` or `nn_code`, or in the LLM's answer in `completion` or the last assistant
    turn of `messages`. `name`, `family` and `accuracy` are optional.

    Raises: UserError if the file cannot be read.
    """
    found: list[FoundNetwork] = []
    skipped: list[SkippedItem] = []
    parts = path.resolve().parts[1:]
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    record = json.loads(line.strip().decode("utf-8-sig"))
                    found.append(_network(record, parts, number, where))
                except (ValueError, RecursionError) as error:
                    skipped.append(SkippedItem(where, _reason(error)))
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(path)) from None
    return found, skipped


def _network(record: Any, parts: tuple[str, ...], number: int, where: str) -> FoundNetwork:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    code = _code(record)
    if not code.strip():
        raise ValueError("its code is empty")
    place = (*parts[:-1], f"{parts[-1]}:{number}")
    name, group = _text(record, "name"), _text(record, "family")
    origin = family(name.removesuffix(".py")) if name else Path(parts[-1]).stem
    return FoundNetwork(
        parts=(*place, name) if name else place,
        short=1,
        code=code,
        family=group or origin,
        accuracy=_accuracy(record.get("accuracy")),
        source=where,
    )


def _code(record: dict[str, Any]) -> str:
    for key in ("code", "nn_code"):
        if record.get(key) is not None:
            return _must_be_text(record[key], key)
    if record.get("completion") is not None:
        return _answer(_must_be_text(record["completion"], "completion"))
    if record.get("messages") is not None:
        return _answer(_last_answer(record["messages"]))
    raise ValueError("no code (expected code, nn_code, completion or messages)")


def _last_answer(messages: Any) -> str:
    turns = messages if isinstance(messages, list) else []
    said = [m for m in turns if isinstance(m, dict) and m.get("role") == "assistant"]
    if not said:
        raise ValueError("messages has no assistant turn")
    return _must_be_text(said[-1].get("content"), "the assistant turn")


def _answer(text: str) -> str:
    """Return the code of an LLM's answer; an answer without fences and tags is all code."""
    if "```" not in text and "<nn>" not in text:
        return text
    answer = answers.read(text)
    if isinstance(answer, Refusal):
        raise ValueError(answer.reason)
    return answer.code


def _must_be_text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is not text")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return "" if value is None else _must_be_text(value, key).strip()


def _accuracy(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"accuracy {str(value)[:20]} is not a number from 0 to 1")
    return float(value)


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg}, column {error.colno})"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def read_paths(
    paths: Sequence[Path], progress: Progress | None = None
) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    """Read dedup's source files: Python files, folders of them, and JSONL files.

    Folders are searched to any depth for `*.py`; links to folders are not followed. A file found
    twice counts once.

    Returns:
        The networks, and the items that were skipped.

    Raises: UserError if a path does not exist, or is neither a folder nor a `.py` or `.jsonl` file.
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

    Raises: UserError if the file cannot be read.
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
    if S_ISDIR(mode):
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
        if not S_ISREG(facts.st_mode):
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


@dataclass(frozen=True)
class NetworkSources:
    """Where the networks to deduplicate come from: paths and the LEMUR mirror.

    Attributes:
        paths: folders, Python files and JSONL files.
        lemur: True to read the LEMUR mirror too.
        folder: folder of the mirror's database.
        best_on: data set on which the mirror's accuracies are compared, None for all.
    """

    paths: Sequence[Path]
    lemur: bool
    folder: Path
    best_on: str | None

    def __str__(self) -> str:
        mirror = [f"the mirror in {self.folder / DATABASE}"] if self.lemur else []
        return ", ".join([*map(str, self.paths), *mirror])

    def read(self, progress: Callable[[int, int], None] | None = None) -> Collection:
        """Read all networks to deduplicate. Raises: UserError, StoreError."""
        if self.best_on is not None and not self.lemur:
            raise UserError("only the mirror has accuracies by data set", where="--best-on")
        if not self.paths and not self.lemur:
            hint = "Give folders, .py or .jsonl files, or --lemur"
            raise UserError("nothing to compare", hint=hint)
        found = self._from_mirror() if self.lemur else []
        skipped: list[SkippedItem] = []
        if self.paths:
            more, skipped = read_paths(self.paths, progress)
            found += more
        return collect(found, skipped)

    def find(self, names: Sequence[str]) -> list[Network]:
        """Return networks by name, from the paths, else a file of that name, else the mirror.

        Raises:
            UserError: no network has such a name.
            StoreError: the mirror has no network of such a name, or there is no mirror.
        """
        known: dict[str, Network] = {}
        if self.paths:
            known = {one.name: one for one in replace(self, lemur=False).read().networks}
        for name in names:
            if name not in known and Path(name).is_file():
                (network,) = collect([read_network(Path(name))]).networks
                known[name] = replace(network, name=name)
        missing = [name for name in names if name not in known]
        if missing and self.lemur:
            found = collect(self._from_mirror(missing)).networks
            known |= {network.name: network for network in found}
        elif missing:
            hint = _close_name(missing[0], list(known)) or "Name two files, or add PATHs or --lemur"
            raise UserError(f"no network {missing[0]!r}", where="--explain", hint=hint)
        return [known[name] for name in names]

    def _from_mirror(self, only: Sequence[str] = ()) -> list[FoundNetwork]:
        with open_mirror(self.folder) as store:
            return read_mirror(store, self.best_on, only)


def read_mirror(
    store: Store, best_on: str | None = None, only: Sequence[str] = ()
) -> list[FoundNetwork]:
    """Read the dedup source `--lemur`: the mirror's networks, or those named in `only`.

    Args:
        best_on: take the accuracy from trials on this data set only.

    Raises:
        StoreError: the mirror has no network of such a name.
        UserError: the mirror has no trial on the data set `best_on`.
    """
    best = select(stat.c.nn, func.max(stat.c.accuracy).label("accuracy")).group_by(stat.c.nn)
    if best_on is not None:
        with store.database.read() as session:
            check_column(session, "dataset", best_on, "--best-on")
        best = best.where(stat.c.dataset == best_on)
    if only:
        best = best.where(stat.c.nn.in_(only))
    ranked = best.subquery()
    query = select(nn.c.name, nn.c.code, ranked.c.accuracy).order_by(nn.c.name)
    query = query.outerjoin(ranked, ranked.c.nn == nn.c.name)
    if only:
        query = query.where(nn.c.name.in_(only))
    source, parts = str(store.path), store.path.parts[1:]
    with store.database.read() as session:
        found = [
            FoundNetwork((*parts, name), 1, code, family(name), accuracy, source)
            for name, code, accuracy in session.execute(query)
        ]
    _check_names(store, found, only)
    return found


def _check_names(store: Store, found: Sequence[FoundNetwork], wanted: Sequence[str]) -> None:
    missing = sorted(set(wanted) - {one.parts[-1] for one in found})
    if not missing:
        return
    with store.database.read() as session:
        hint = _close_name(missing[0], session.scalars(select(nn.c.name)).all())
    raise StoreError(f"no network {missing[0]!r}", where=str(store.path), hint=hint)


def _close_name(name: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest name in a dedup source, or "" for thousands of names."""
    hint = nearest(name, known)
    return hint if hint.startswith("Did") or len(known) < 10 else ""
