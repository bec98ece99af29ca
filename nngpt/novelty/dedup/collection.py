"""A collection as it was read: its networks under unique names, and what could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nngpt.novelty.dedup.records import Network

Family = Callable[[str], str]
"""From a network's name to its family; the command line passes LEMUR's rule."""


@dataclass(frozen=True)
class Skipped:
    """Something that was not read: a file, a folder or a line, and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Found:
    """A network before it has its name in the collection.

    Attributes:
        parts: where it is, from the outermost folder to the file or the record's own name.
        short: how many of the last parts make its name as long as that is unique.
        code: its source text.
        family: its family.
        accuracy: 0…1, None if unknown.
        source: what to show as its origin.
        original: the file's bytes where they are not simply `code` in UTF-8.
    """

    parts: tuple[str, ...]
    short: int
    code: str = field(repr=False)
    family: str
    accuracy: float | None
    source: str
    original: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Collection:
    """What there is to deduplicate.

    Attributes:
        networks: in the order of reading, names unique.
        skipped: what could not be read.
        originals: by name, a file's bytes where they are not simply its code in UTF-8.
        left_out: how many networks were left out on purpose, by reason.
    """

    networks: tuple[Network, ...]
    skipped: tuple[Skipped, ...] = ()
    originals: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def original(self, network: Network) -> bytes:
        """The network's file as it was, or its code in UTF-8."""
        known = self.originals.get(network.name)
        return network.code.encode("utf-8", "surrogatepass") if known is None else known

    def at_least(self, accuracy: float) -> Collection:
        """Without the networks whose accuracy is smaller, or unknown."""
        good = tuple(n for n in self.networks if n.accuracy is not None and n.accuracy >= accuracy)
        unknown = sum(n.accuracy is None for n in self.networks)
        below = len(self.networks) - len(good) - unknown
        reasons = {f"accuracy below {accuracy}": below, "accuracy unknown": unknown}
        left_out = {reason: count for reason, count in reasons.items() if count}
        return replace(self, networks=good, left_out=left_out)


def collect(found: Sequence[Found], skipped: Iterable[Skipped] = ()) -> Collection:
    """Name the networks; those whose short names clash get folders of their path in front."""
    names = _unique([[readable(part) for part in f.parts] for f in found], [f.short for f in found])
    networks = tuple(
        Network(name, f.code, f.family, f.accuracy, f.source)
        for name, f in zip(names, found, strict=True)
    )
    pairs = zip(names, found, strict=True)
    originals = {name: f.original for name, f in pairs if f.original is not None}
    return Collection(networks, tuple(skipped), originals)


def readable(text: str) -> str:
    """`text` with escapes for what no terminal or file should get: controls, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
    """Names that are the same even at full length get a number: records that are called alike."""
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
