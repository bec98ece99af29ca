"""Where `nngpt dedup` gets its networks: paths on the disk, and the mirror of LEMUR."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt.cli.options import console, open_store
from nngpt.config import DATABASE
from nngpt.errors import StoreError, UserError

if TYPE_CHECKING:
    from nngpt.novelty.dedup.collection import Collection, Found, Skipped
    from nngpt.novelty.dedup.records import Network
    from nngpt.store import Store

_FILL = "Fill the mirror first: nngpt lemur pull"


@dataclass(frozen=True)
class Source:
    """Where the networks come from."""

    paths: list[Path]
    lemur: bool
    folder: Path
    best_on: str | None

    def text(self) -> str:
        """The sources in words."""
        mirror = [f"the mirror in {self.folder / DATABASE}"] if self.lemur else []
        return ", ".join([*map(str, self.paths), *mirror])


def read(source: Source) -> Collection:
    """All networks that are to be compared. Raises: UserError."""
    from nngpt.novelty.dedup.collection import collect
    from nngpt.novelty.dedup.mirror import read_mirror
    from nngpt.novelty.dedup.source_files import read_paths
    from nngpt.store.lemur.family import family

    if source.best_on is not None and not source.lemur:
        raise UserError("only the mirror knows accuracies by data set", where="--best-on")
    if not source.paths and not source.lemur:
        raise UserError("nothing to compare", hint="Give folders, .py or .jsonl files, or --lemur")
    found: list[Found] = []
    skipped: list[Skipped] = []
    if source.lemur:
        with _mirror(source.folder) as store:
            found = read_mirror(store, family, source.best_on)
    if source.paths:
        with bar("reading") as progress:
            more, skipped = read_paths(source.paths, family, progress)
        found += more
    return collect(found, skipped)


def find(names: tuple[str, str], source: Source) -> list[Network]:
    """Networks by name: of the given paths, else a file, else of the mirror. Raises: UserError."""
    from nngpt.novelty.dedup.collection import collect
    from nngpt.novelty.dedup.mirror import close, read_mirror
    from nngpt.novelty.dedup.source_files import read_network
    from nngpt.store.lemur.family import family

    known: dict[str, Network] = {}
    if source.paths:
        named = read(replace(source, lemur=False)).networks
        known = {network.name: network for network in named}
    for name in names:
        if name not in known and Path(name).is_file():
            (network,) = collect([read_network(Path(name), family)]).networks
            known[name] = replace(network, name=name)
    missing = [name for name in names if name not in known]
    if missing and source.lemur:
        with _mirror(source.folder) as store:
            found = collect(read_mirror(store, family, source.best_on, missing)).networks
        known |= {network.name: network for network in found}
    elif missing:
        hint = close(missing[0], list(known)) or "Name two files, or add PATHs or --lemur"
        raise UserError(f"no network {missing[0]!r}", where="--explain", hint=hint)
    return [known[name] for name in names]


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while it works, if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _mirror(folder: Path) -> Store:
    if not os.access(folder / DATABASE, os.F_OK):
        raise StoreError("no mirror here", where=str(folder / DATABASE), hint=_FILL)
    return open_store(folder)
