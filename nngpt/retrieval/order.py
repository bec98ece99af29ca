"""The order of the statements in the file: what is needed at import time comes first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import Local
from nngpt.retrieval.links import Linker
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.uses import When

_Key = tuple[str, int]


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
    called = {key: _called(key, _reach(now[key], anytime)) for key in sorted(closure.statements)}
    graph.add_all(called)
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


def _called(user: _Key, reached: set[_Key]) -> list[_Key]:
    """What of all that it reaches a statement may call on: nothing that stands below it."""
    module, index = user
    return sorted(key for key in reached if key[0] != module or key[1] < index)


def _reach(start: Iterable[_Key], edges: dict[_Key, list[_Key]]) -> set[_Key]:
    seen: set[_Key] = set()
    waiting = list(start)
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += edges[key]
    return seen


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
