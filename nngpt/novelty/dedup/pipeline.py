"""Choose which networks of a collection to keep.

The networks are visited from the most to the least accurate. One that is similar to a kept
network at any level is removed; all others are kept. So every removed network has a kept
neighbour above the threshold, and no two kept networks are similar. (Linking similar
networks into chains, as nn-dup does, also removes networks that resemble no kept one.)
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from nngpt import plugins
from nngpt.novelty.dedup.collection import FAMILY_CAP, DedupOutcome, DedupSettings, Network, Removed
from nngpt.novelty.dedup.shingle_sets import KeptIndex, Ranks, Shingler, rank_shingles
from nngpt.novelty.shingles import near_duplicate

Progress = Callable[[int, int], None]
"""Called with the number of finished steps and their total."""

_NONE: Ranks = np.zeros(0, dtype=np.int32)


def deduplicate(
    networks: Iterable[Network], settings: DedupSettings, progress: Progress | None = None
) -> DedupOutcome:
    """Keep the most accurate network of each group of near-duplicates.

    Raises: PluginError if a level does not exist.
    """
    ordered = sorted(networks, key=_best_first)
    steps = _Steps(len(ordered) * (len(settings.levels) + 1), progress)
    levels = [_Level(name, ordered, settings, steps) for name in settings.levels]
    begun = time.perf_counter()
    kept: list[Network] = []
    removed: list[Removed] = []
    families: Counter[str] = Counter()
    for number, network in enumerate(ordered):
        found = _find_duplicate(number, ordered, levels, settings)
        if found is None and families[network.family] == settings.per_family:
            found = Removed(network, FAMILY_CAP, None, None)
        if found is not None:
            removed.append(found)
        else:
            kept.append(network)
            families[network.family] += 1
            for level in levels:
                level.keep(number)
        steps.advance()
    seconds = {level.name: level.seconds for level in levels}
    seconds["choosing"] = time.perf_counter() - begun
    unreadable = {level.name: level.unreadable for level in levels if level.unreadable}
    return DedupOutcome(tuple(kept), tuple(removed), unreadable, seconds)


def threshold(settings: DedupSettings, level: str, one: str, other: str) -> float:
    """Return the threshold that the dedup pipeline applies to two networks' similarity."""
    general = settings.thresholds.get(level, settings.threshold)
    if level == "exact" or one != other:
        return general
    return settings.family_thresholds.get(one, general)


def _best_first(network: Network) -> tuple[float, str]:
    accuracy = network.accuracy if network.accuracy is not None else -1.0
    return (-accuracy, network.name)


def _find_duplicate(
    number: int, ordered: list[Network], levels: list[_Level], settings: DedupSettings
) -> Removed | None:
    """Return the removal at the first level with a similar kept network, or None."""
    network = ordered[number]
    for level in levels:
        best, neighbour = 0.0, None
        for other, similarity in level.neighbours(number):
            kept = ordered[other]
            wanted = threshold(settings, level.name, network.family, kept.family)
            if similarity > best and near_duplicate(similarity, wanted):
                best, neighbour = similarity, kept.name
        if neighbour is not None:
            return Removed(network, level.name, neighbour, best)
    return None


class _Level:
    """Shingles of all networks at one level, and an index of the kept ones."""

    def __init__(
        self, name: str, networks: list[Network], settings: DedupSettings, steps: _Steps
    ) -> None:
        begun = time.perf_counter()
        shingler = Shingler(plugins.create("dedup level", name), settings.shingle)
        sets, readable, unreadable = [], [], []
        for number, network in enumerate(networks):
            try:
                sets.append(shingler.shingles(network.code))
                readable.append(number)
            except SyntaxError:
                unreadable.append(network.name)
            steps.advance()
        ranks = [_NONE] * len(networks)
        for number, found in zip(readable, rank_shingles(sets), strict=True):
            ranks[number] = found
        lowest = settings.thresholds.get(name, settings.threshold)
        if name != "exact":
            lowest = min([lowest, *settings.family_thresholds.values()])
        self.name = name
        self.unreadable = tuple(unreadable)
        self._index = KeptIndex(ranks, lowest)
        self._readable = set(readable)
        self.seconds = time.perf_counter() - begun

    def neighbours(self, number: int) -> list[tuple[int, float]]:
        """Return (number, similarity) of the kept networks that may be duplicates."""
        return self._index.neighbours(number) if number in self._readable else []

    def keep(self, number: int) -> None:
        """Add a kept network, with which later ones are compared."""
        if number in self._readable:
            self._index.add(number)


class _Steps:
    """Count steps and report every hundredth."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def advance(self) -> None:
        self._done += 1
        if self._progress is not None and (self._done % 100 == 0 or self._done == self._total):
            self._progress(self._done, self._total)
