"""The order of the statements in the file: what is needed at import time comes first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import Local
from nngpt.retrieval.links import Linker
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.uses import When

_Key = tuple[str, int]
_Edges = Mapping[_Key, Sequence[_Key]]


def ordered(linker: Linker, closure: Closure) -> list[Statement]:
    """The statements, each after what it needs at import time; else as in the originals.

    A name that is used at import time may be called there, so what its functions need comes
    first as well, as long as that makes no circle.
    """
    graph = _Graph(closure.statements)
    # An edge that closes a circle is dropped, so the edges that matter most come first.
    now = {key: _before(linker, closure, s, When.NOW) for key, s in closure.statements.items()}
    graph.add_all(now)
    for name in closure.names:
        keys = [s.key for s in linker.providers(name) if s.key in closure.statements]
        for first, second in itertools.pairwise(keys):
            graph.add(second, first)
    noted = {key: _before(linker, closure, s, When.NEVER) for key, s in closure.statements.items()}
    graph.add_all(noted)
    anytime = _anytime(linker, closure)
    graph.add_calls(now, anytime)
    rank = _ranks(closure, anytime)
    return [closure.statements[key] for key in graph.sorted(rank)]


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


class _Graph:
    """What comes after what; an edge that would close a circle is left out.

    `_above[k]` holds everything that `k` comes after, as bits of an integer.
    """

    def __init__(self, keys: Iterable[_Key]) -> None:
        self._bit = {key: number for number, key in enumerate(keys)}
        self._above = dict.fromkeys(self._bit, 0)
        self._direct: dict[_Key, set[_Key]] = {key: set() for key in self._bit}

    def add_all(self, edges: Mapping[_Key, Iterable[_Key]]) -> None:
        """Add what each key comes after."""
        for key, others in edges.items():
            for other in others:
                self.add(key, other)

    def add(self, key: _Key, after: _Key) -> None:
        """Let `key` come after `after`, unless that must come after `key`."""
        bit, other_bit = 1 << self._bit[key], 1 << self._bit[after]
        if key == after or self._above[key] & other_bit or self._above[after] & bit:
            return
        self._direct[key].add(after)
        gained = self._above[after] | other_bit
        if gained & ~self._above[key]:
            for other, above in self._above.items():
                if other == key or above & bit:
                    self._above[other] = above | gained

    def add_calls(
        self, now: Mapping[_Key, Sequence[_Key]], anytime: Mapping[_Key, Sequence[_Key]]
    ) -> None:
        """Let each key come after all that what it uses may use in turn, when called.

        Nothing below a statement in its own module counts: the original did without.
        """
        keys = list(self._bit)
        reached = self._reached(anytime)
        below = self._below()
        for key in sorted(keys):
            wanted = 0
            for other in now[key]:
                wanted |= reached[other]
            wanted &= ~below[key]
            while rest := wanted & ~self._above[key]:
                # From the end: what stands later tends to come after the rest.
                number = rest.bit_length() - 1
                wanted &= ~(1 << number)
                self.add(key, keys[number])

    def _reached(self, edges: _Edges) -> dict[_Key, int]:
        """Everything that can be reached from each key, itself too, as bits."""
        found = {key: 1 << number for key, number in self._bit.items()}
        changed = True
        while changed:
            changed = False
            for key in reversed(found):
                bits = found[key]
                for other in edges[key]:
                    bits |= found[other]
                changed |= bits != found[key]
                found[key] = bits
        return found

    def _below(self) -> dict[_Key, int]:
        """The statements at and below each key in its own module, as bits."""
        found: dict[_Key, int] = {}
        bits, before = 0, ""
        for key in sorted(self._bit, reverse=True):
            bits = (bits if key[0] == before else 0) | 1 << self._bit[key]
            before = key[0]
            found[key] = bits
        return found

    def sorted(self, rank: dict[_Key, tuple[int, int]]) -> list[_Key]:
        """All keys, the lowest rank first where there is a choice."""
        missing = {key: len(after) for key, after in self._direct.items()}
        users: dict[_Key, list[_Key]] = {key: [] for key in self._direct}
        for key, after in self._direct.items():
            for other in after:
                users[other].append(key)
        heap = [(rank[key], key) for key, count in missing.items() if not count]
        heapq.heapify(heap)
        result: list[_Key] = []
        while heap:
            _, key = heapq.heappop(heap)
            result.append(key)
            for user in users[key]:
                missing[user] -= 1
                if not missing[user]:
                    heapq.heappush(heap, (rank[user], user))
        return result
