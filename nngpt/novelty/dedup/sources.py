"""Collect the networks to compare from paths and from the LEMUR mirror."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.novelty.dedup.collection import Collection, FoundNetwork, SkippedItem, collect
from nngpt.novelty.dedup.mirror import close_name, read_mirror
from nngpt.novelty.dedup.records import Network
from nngpt.novelty.dedup.source_files import read_network, read_paths
from nngpt.store.lemur.mirror import open_mirror


@dataclass(frozen=True)
class NetworkSources:
    """Where the networks of a collection come from.

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
        """Read all networks. Raises: UserError, StoreError."""
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
