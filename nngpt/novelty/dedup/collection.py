"""Records of a deduplication: the collection of networks, the settings, and the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nngpt.errors import readable

FAMILY_CAP = "family cap"
"""Reason for a removal because enough networks of the family are kept."""


@dataclass(frozen=True)
class Network:
    """One network of a collection to deduplicate.

    Attributes:
        name: unique name in the collection.
        family: LEMUR family; caps and some thresholds depend on it.
        accuracy: best recorded accuracy, 0…1; None if unknown. The more accurate network is kept.
        source: origin: a file, a line of a file, or a database.
    """

    name: str
    code: str = field(repr=False)
    family: str
    accuracy: float | None = None
    source: str = ""


@dataclass(frozen=True)
class DedupSettings:
    """How networks are compared; the defaults are those of the papers.

    Attributes:
        levels: names of the levels, cheapest first; similarity at one level is enough.
        threshold: Jaccard similarity above which two networks are duplicates, 0…1.
        thresholds: level → its own threshold.
        family_thresholds: family → threshold between two networks of that family (nn-dup uses 0.97
            for fractal networks); the level "exact" ignores them.
        shingle: tokens per shingle.
        per_family: maximum number of networks kept of each family, None for all.
    """

    levels: tuple[str, ...] = ("exact", "lexical")
    threshold: float = 0.9
    thresholds: Mapping[str, float] = field(default_factory=dict)
    family_thresholds: Mapping[str, float] = field(default_factory=dict)
    shingle: int = 10
    per_family: int | None = None


@dataclass(frozen=True)
class Removed:
    """A network that the deduplication did not keep.

    Attributes:
        level: the level at which it is similar to `neighbour`, or `FAMILY_CAP`.
        neighbour: name of the most similar kept network at that level; None for a family cap.
        similarity: exact Jaccard similarity to the neighbour; None for a family cap.
    """

    network: Network
    level: str
    neighbour: str | None
    similarity: float | None


@dataclass(frozen=True)
class DedupOutcome:
    """Result of a deduplication; `kept` and `removed` together are the collection.

    Attributes:
        kept: best first.
        removed: in the order of comparison, best first.
        unreadable: level → names of networks that the level cannot read, which were compared at
            the other levels only.
        seconds: wall time by step.
    """

    kept: tuple[Network, ...]
    removed: tuple[Removed, ...]
    unreadable: Mapping[str, tuple[str, ...]]
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class SkippedItem:
    """A file, folder or line that the deduplication could not read, and the reason."""

    where: str
    reason: str


@dataclass(frozen=True)
class FoundNetwork:
    """A network read for deduplication, before it has a unique name in the collection.

    Attributes:
        parts: location, from the outermost folder to the file or the record's name.
        short: number of trailing parts that form the name, as long as it is unique.
        accuracy: 0…1, None if unknown.
        source: origin, for messages.
        original: bytes of the file, if they differ from `code` in UTF-8.
        any_code: True if nothing says that the code is a network, as with a Python file.
    """

    parts: tuple[str, ...]
    short: int
    code: str = field(repr=False)
    family: str
    accuracy: float | None
    source: str
    original: bytes | None = field(default=None, repr=False)
    any_code: bool = False


@dataclass(frozen=True)
class Collection:
    """Networks to deduplicate.

    Attributes:
        networks: networks with unique names, in the order of reading.
        skipped: items that could not be read.
        originals: name → bytes of the file, if they differ from the code in UTF-8.
        left_out: reason → number of networks or files excluded on purpose.
    """

    networks: tuple[Network, ...]
    skipped: tuple[SkippedItem, ...] = ()
    originals: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def original(self, network: Network) -> bytes:
        """Return the bytes of the network's file, or its code in UTF-8."""
        known = self.originals.get(network.name)
        return network.code.encode("utf-8", "surrogatepass") if known is None else known

    def with_min_accuracy(self, accuracy: float) -> Collection:
        """Return the collection without networks of lower or unknown accuracy."""
        good = tuple(n for n in self.networks if n.accuracy is not None and n.accuracy >= accuracy)
        unknown = sum(n.accuracy is None for n in self.networks)
        below = len(self.networks) - len(good) - unknown
        reasons = {f"accuracy below {accuracy}": below, "accuracy unknown": unknown}
        left_out = {reason: count for reason, count in reasons.items() if count}
        return replace(self, networks=good, left_out={**self.left_out, **left_out})


def collect(
    found: Sequence[FoundNetwork],
    skipped: Iterable[SkippedItem] = (),
    left_out: Mapping[str, int] | None = None,
) -> Collection:
    """Give found networks unique names, extending clashing names by folders of their path."""
    names = _unique([[readable(part) for part in f.parts] for f in found], [f.short for f in found])
    networks = tuple(
        Network(name, f.code, f.family, f.accuracy, f.source)
        for name, f in zip(names, found, strict=True)
    )
    pairs = zip(names, found, strict=True)
    originals = {name: f.original for name, f in pairs if f.original is not None}
    return Collection(networks, tuple(skipped), originals, left_out or {})


def _unique(parts: Sequence[Sequence[str]], short: Sequence[int]) -> list[str]:
    lengths = list(short)
    while True:
        names = ["/".join(p[-n:]) for p, n in zip(parts, lengths, strict=True)]
        counts = Counter(names)
        growing = [
            i for i, name in enumerate(names) if counts[name] > 1 and lengths[i] < len(parts[i])
        ]
        if not growing:
            return _numbered(names)
        for i in growing:
            lengths[i] += 1


def _numbered(names: Sequence[str]) -> list[str]:
    """Append numbers to names that clash even at full length."""
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        number, new = 1, name
        while new in seen or (number > 1 and new in taken):
            number += 1
            new = f"{name}~{number}"
        seen.add(new)
        result.append(new)
    return result
