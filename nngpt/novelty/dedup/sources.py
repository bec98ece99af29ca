"""Collect the networks to compare from paths and from the LEMUR mirror."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import func, select

from nngpt.errors import StoreError, UserError, nearest
from nngpt.files import DATABASE
from nngpt.novelty.dedup.collection import Collection, FoundNetwork, SkippedItem, collect
from nngpt.novelty.dedup.records import Network
from nngpt.novelty.dedup.source_files import read_network, read_paths
from nngpt.store import Store
from nngpt.store.lemur.mirror import open_mirror
from nngpt.store.lemur.queries import family
from nngpt.store.lemur.query_check import check_column
from nngpt.store.lemur_tables import nn, stat


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
            hint = close_name(missing[0], list(known)) or "Name two files, or add PATHs or --lemur"
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
        hint = close_name(missing[0], session.scalars(select(nn.c.name)).all())
    raise StoreError(f"no network {missing[0]!r}", where=str(store.path), hint=hint)


def close_name(name: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest name in a dedup source, or "" for thousands of names."""
    hint = nearest(name, known)
    return hint if hint.startswith("Did") or len(known) < 10 else ""
