"""The order of the statements in the file: what is needed at import time comes first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import Local
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_resolution import Linker
from nngpt.retrieval.name_uses import When

_Key = tuple[str, int]
_Edges = Mapping[_Key, Sequence[_Key]]


def ordered(linker: Linker, closure: Closure) -> list[Statement]:
    """The statements, each after what it needs at import time; else as in the originals.

    A name that is used at import time may be called there, so what its functions need comes
    first as well, as long as that makes no circle.
    """
    statements = closure.statements
    now = {key: _before(linker, closure, s, When.NOW) for key, s in statements.items()}
    anytime = _anytime(linker, closure)
    sequence = _Sequence(now, _chained(linker, closure))
    called = _called(sequence, now, anytime)
    for key, statement in statements.items():
        noted = _before(linker, closure, statement, When.NEVER)
        sequence.prefer(key, called[key] | sequence.bits(noted))
    rank = _ranks(closure, anytime)
    return [statements[key] for key in sequence.sorted(rank)]


def _chained(linker: Linker, closure: Closure) -> Iterator[tuple[_Key, _Key]]:
    """The statements that bind or change one name keep their order."""
    for name in closure.names:
        keys = [s.key for s in linker.providers(name) if s.key in closure.statements]
        for first, second in itertools.pairwise(keys):
            yield second, first


def _called(sequence: _Sequence, now: _Edges, anytime: _Edges) -> dict[_Key, int]:
    """What each key may call on: all that what it uses may use in turn, as bits.

    Nothing below a statement in its own module counts: the original did without.
    """
    reached = sequence.reached(anytime)
    found: dict[_Key, int] = {}
    below, before = 0, ""
    for key in sorted(now, reverse=True):
        below = (below if key[0] == before else 0) | sequence.bits([key])
        before, wanted = key[0], 0
        for other in now[key]:
            wanted |= reached[other]
        found[key] = wanted & ~below
    return found


def _names(linker: Linker, statement: Statement, when: When) -> Iterable[Local]:
    links = linker.links(statement)
    for link in links.uses:
        if link.use.when is when and isinstance(link.meaning, Local) and not link.use.store:
            yield link.meaning
    for one in links.imports:
        if one.inner.when is when and isinstance(one.meaning, Local) and not one.kept:
            yield one.meaning


def _before(linker: Linker, closure: Closure, user: Statement, when: When) -> list[_Key]:
    """The statements that bind what a statement uses, later ones of its own module left out."""
    found: dict[_Key, None] = {}
    for name in dict.fromkeys(_names(linker, user, when)):
        if name in closure.names:
            same = name.module == user.module.name
            providers = [s for s in linker.providers(name) if not same or s.index < user.index]
            found.update((s.key, None) for s in providers if s.key in closure.statements)
    return list(found)


def _anytime(linker: Linker, closure: Closure) -> dict[_Key, list[_Key]]:
    found: dict[_Key, list[_Key]] = {}
    for key, statement in closure.statements.items():
        both = [*_names(linker, statement, When.NOW), *_names(linker, statement, When.LATER)]
        names = dict.fromkeys(both)
        found[key] = [s.key for n in names if n in closure.names for s in linker.providers(n)
                      if s.key in closure.statements]  # fmt: skip
    return found


def _ranks(closure: Closure, edges: dict[_Key, list[_Key]]) -> dict[_Key, tuple[int, int]]:
    """Modules in the order in which importing them would end, statements as they stand."""
    below: dict[str, list[str]] = {}
    for (module, _), others in sorted(edges.items()):
        below.setdefault(module, []).extend(name for name, _ in others)
    done: dict[str, int] = {}
    first = next(iter(closure.names)).module
    for start in [first, *sorted(below)]:
        stack, entered = [(start, False)], set[str]()
        while stack:
            module, left = stack.pop()
            if left:
                done.setdefault(module, len(done))
            elif module not in done and module not in entered:
                entered.add(module)
                stack.append((module, True))
                stack += [(m, False) for m in sorted(set(below.get(module, [])), reverse=True)]
    return {key: (done[key[0]], key[1]) for key in closure.statements}


class _Sequence:
    """Puts keys in an order; sets of keys are the bits of an integer.

    Args:
        now: what must come before each key.
        chained: further pairs of a key and one that must come before it.
    """

    def __init__(self, now: _Edges, chained: Iterable[tuple[_Key, _Key]]) -> None:
        self._keys = list(now)
        self._number = {key: number for number, key in enumerate(self._keys)}
        self._needs = {key: [*others] for key, others in now.items()}
        for key, before in chained:
            self._needs[key].append(before)
        self._needed = self.reached(self._needs)
        self._preferred = dict.fromkeys(self._keys, 0)

    def bits(self, keys: Iterable[_Key]) -> int:
        """A set of keys."""
        found = 0
        for key in keys:
            found |= 1 << self._number[key]
        return found

    def prefer(self, key: _Key, before: int) -> None:
        """Let keys come before another, as far as what must be allows it."""
        self._preferred[key] |= before

    def reached(self, edges: _Edges) -> dict[_Key, int]:
        """Everything that can be reached from each key, itself too."""
        found = {key: 1 << number for key, number in self._number.items()}
        changed = True
        while changed:
            changed = False
            for key in reversed(self._keys):
                bits = found[key]
                for other in edges[key]:
                    bits |= found[other]
                changed |= bits != found[key]
                found[key] = bits
        return found

    def sorted(self, rank: Mapping[_Key, tuple[int, int]]) -> list[_Key]:
        """All keys, the lowest rank first where there is a choice."""
        done: dict[_Key, None] = {}
        begun = waiting = 0
        for start in sorted(self._keys, key=rank.__getitem__):
            stack = [(start, self._first(start, rank))] if start not in done else []
            while stack:
                key, before = stack[-1]
                begun |= self.bits([key])
                waiting |= self.bits([key])
                inner = next((k for k in before if self._may_come(k, key, begun, waiting)), None)
                if inner is not None:
                    stack.append((inner, self._first(inner, rank)))
                    continue
                done[key] = None
                waiting &= ~self.bits([key])
                stack.pop()
        return list(done)

    def _may_come(self, key: _Key, user: _Key, begun: int, waiting: int) -> bool:
        """Whether a key that is not begun needs nothing that waits for it in turn."""
        if begun >> self._number[key] & 1:
            return False
        return key in self._needs[user] or not self._needed[key] & waiting

    def _first(self, key: _Key, rank: Mapping[_Key, tuple[int, int]]) -> Iterator[_Key]:
        """What should come before a key: what must, then what may."""
        yield from sorted(self._needs[key], key=rank.__getitem__)
        bits = self._preferred[key]
        numbers = [n for n in range(bits.bit_length()) if bits >> n & 1]
        yield from sorted((self._keys[n] for n in numbers), key=rank.__getitem__)
