"""Read the networks to deduplicate: Python files, folders, wheels, JSONL files, LEMUR's mirror."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

from sqlalchemy import func, select

from nngpt.errors import StoreError, UserError, nearest
from nngpt.files import DATABASE, decode
from nngpt.novelty.dedup import jsonl
from nngpt.novelty.dedup.collection import Collection, FoundNetwork, Network, SkippedItem, collect
from nngpt.retrieval.sources import ARCHIVES, open_archive
from nngpt.store import Store
from nngpt.store.lemur.mirror import check_column, family, open_mirror
from nngpt.store.lemur_tables import nn, stat

LARGEST = 16 * 2**20
"""Maximum size of a network's file, in bytes."""

NO_MODULE = "no nn.Module (--all compares these, too)"
"""Reason for leaving out a file."""

ACCEPTED = "folders, wheels, .py or .jsonl files"
_BASES = re.compile(r"^[ \t]*class\s+\w+\s*\(([^)]*)\)", re.MULTILINE)
_MODULE = re.compile(r"\w*Module\b|\bnn\.[A-Z]|\b(Sequential|ModuleList|ModuleDict)\b")
_FORWARD = re.compile(r"\bdef\s+forward\s*\(\s*self\b")
Progress = Callable[[int, int], None]


def defines_module(code: str) -> bool:
    """Return True if a dedup source's file defines an `nn.Module`, without parsing it.

    It does if a class derives from a class of `nn` or one named `…Module`, or if there is a class
    with bases and a method `forward`. Files that Python cannot parse are judged, too.
    """
    bases = _BASES.findall(code)
    return any(map(_MODULE.search, bases)) or (bool(bases) and bool(_FORWARD.search(code)))


def read_paths(
    paths: Sequence[Path], progress: Progress | None = None, key: str | None = None
) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    """Read dedup's source files: Python files, folders and wheels of them, and JSONL files.

    Folders and wheels (also sdists) are searched to any depth for `*.py`; links to folders are not
    followed. A file found twice counts once. `key` is the field of the code in JSONL.

    Returns:
        The networks, and the items that were skipped.

    Raises: UserError if a path does not exist, or is of no such kind.
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
    for path, kind in dict.fromkeys(kinds):
        if kind in ("archive", "lines"):
            inside, broken = (
                _read_archive(path) if kind == "archive" else jsonl.read_lines(path, key)
            )
            found += inside
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
    if path.suffix in jsonl.SUFFIXES:
        return "lines"
    if path.suffix == ".py":
        return "network"
    if path.name.endswith(ARCHIVES):
        return "archive"
    hint = f"Give {ACCEPTED}"
    if path.suffix == ".db":
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
    except OSError as error:
        return SkippedItem(str(place.file), f"cannot be read ({error.strerror})")
    return _file(raw, tuple(place.real.split("/")[1:]), place.short, str(place.file))


def _read_archive(path: Path) -> tuple[list[FoundNetwork], list[SkippedItem]]:
    names, read = open_archive(path)
    outside = path.resolve().parts[1:]
    found: list[FoundNetwork] = []
    skipped: list[SkippedItem] = []
    for name in sorted(n for n in names if n.endswith(".py")):
        where, inside = f"{path}:{name}", PurePosixPath(name).parts
        one: FoundNetwork | SkippedItem
        try:
            one = _file(read(name), (*outside, *inside), len(inside), where)
        except OSError as error:
            one = SkippedItem(where, f"cannot be read ({error.strerror})")
        if isinstance(one, FoundNetwork):
            found.append(one)
        else:
            skipped.append(one)
    return found, skipped


def _file(
    raw: bytes, parts: tuple[str, ...], short: int, source: str
) -> FoundNetwork | SkippedItem:
    """Return the network in a Python file's bytes, or why there is none."""
    try:
        code = decode(raw)
    except ValueError as error:
        return SkippedItem(source, str(error))
    if not code.strip():
        return SkippedItem(source, "empty")
    return FoundNetwork(
        parts=parts,
        short=short,
        code=code,
        family=family(parts[-1].removesuffix(".py")),
        accuracy=None,
        source=source,
        original=None if code.encode("utf-8", "surrogatepass") == raw else raw,
        any_code=True,
    )


@dataclass(frozen=True)
class NetworkSources:
    """Where the networks to deduplicate come from: paths and the LEMUR mirror.

    Attributes:
        paths: folders, wheels, Python files and JSONL files.
        lemur: True to read the LEMUR mirror too.
        folder: folder of the mirror's database.
        best_on: data set on which the mirror's accuracies are compared, None for all.
        key: field of the code in JSONL records, None for the usual ones.
        everything: True to keep files that define no `nn.Module`.
    """

    paths: Sequence[Path]
    lemur: bool = False
    folder: Path = Path("runs")
    best_on: str | None = None
    key: str | None = None
    everything: bool = False

    def __str__(self) -> str:
        mirror = [f"the mirror in {self.folder / DATABASE}"] if self.lemur else []
        return ", ".join([*map(str, self.paths), *mirror])

    def read(self, progress: Callable[[int, int], None] | None = None) -> Collection:
        """Read all networks to deduplicate. Raises: UserError, StoreError."""
        if self.best_on is not None and not self.lemur:
            raise UserError("only the mirror has accuracies by data set", where="--best-on")
        if not self.paths and not self.lemur:
            hint = f"Give {ACCEPTED}, or --lemur"
            raise UserError("nothing to compare", hint=hint)
        found = self._from_mirror() if self.lemur else []
        skipped: list[SkippedItem] = []
        if self.paths:
            more, skipped = read_paths(self.paths, progress, self.key)
            found += more
        kept = [
            one for one in found if self.everything or not one.any_code or defines_module(one.code)
        ]
        left_out = {NO_MODULE: len(found) - len(kept)} if len(kept) < len(found) else {}
        return collect(kept, skipped, left_out)

    def find(self, names: Sequence[str]) -> list[Network]:
        """Return networks by name, from the paths, else a file of that name, else the mirror.

        Raises:
            UserError: no network has such a name.
            StoreError: the mirror has no network of such a name, or there is no mirror.
        """
        known: dict[str, Network] = {}
        if self.paths:
            everything = replace(self, lemur=False, everything=True).read()
            known = {one.name: one for one in everything.networks}
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
