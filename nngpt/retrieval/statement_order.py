"""Order the statements of the file, so that names needed at import time come first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import LocalName
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_resolution import NameResolver
from nngpt.retrieval.name_uses import UseTime

_Key = tuple[str, int]
_Edges = Mapping[_Key, Sequence[_Key]]


def order_statements(resolver: NameResolver, closure: Closure) -> list[Statement]:
    """Return the file's statements in an order that satisfies import-time needs.

    Otherwise the original order is kept. A function used at import time may be called there, so
    what it needs comes first too, unless that makes a cycle.
    """
    statements = closure.statements
    time = UseTime.IMPORT
    now = {k: _providers_before(resolver, closure, s, time) for k, s in statements.items()}
    anytime = _all_needs(resolver, closure)
    sequence = _Sequence(now, _order_constraints(resolver, closure))
    called = _callable_at_import(sequence, now, anytime)
    for key, statement in statements.items():
        noted = _providers_before(resolver, closure, statement, UseTime.ANNOTATION)
        sequence.prefer(key, called[key] | sequence.bits(noted))
    rank = _ranks(closure, anytime)
    return [statements[key] for key in sequence.sorted(rank)]


def _order_constraints(resolver: NameResolver, closure: Closure) -> Iterator[tuple[_Key, _Key]]:
    """Yield (later, earlier) pairs to keep the order of statements that bind or change a name."""
    for name in closure.names:
        keys = [s.key for s in resolver.providers(name) if s.key in closure.statements]
        for first, second in itertools.pairwise(keys):
            yield second, first


def _callable_at_import(sequence: _Sequence, now: _Edges, anytime: _Edges) -> dict[_Key, int]:
    """Return the statements that each statement may call at import time, as bits.

    Later statements of the same module do not count: the original code does not need them.
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


def _names(resolver: NameResolver, statement: Statement, when: UseTime) -> Iterable[LocalName]:
    links = resolver.resolve(statement)
    for link in links.uses:
        if link.use.when is when and isinstance(link.meaning, LocalName) and not link.use.store:
            yield link.meaning
    for one in links.imports:
        if one.inner.when is when and isinstance(one.meaning, LocalName) and not one.kept:
            yield one.meaning


def _providers_before(
    resolver: NameResolver, closure: Closure, user: Statement, when: UseTime
) -> list[_Key]:
    """Return the statements that bind the names used, without later ones of the same module."""
    found: dict[_Key, None] = {}
    for name in dict.fromkeys(_names(resolver, user, when)):
        if name in closure.names:
            same = name.module == user.module.name
            providers = [s for s in resolver.providers(name) if not same or s.index < user.index]
            found.update((s.key, None) for s in providers if s.key in closure.statements)
    return list(found)


def _all_needs(resolver: NameResolver, closure: Closure) -> dict[_Key, list[_Key]]:
    found: dict[_Key, list[_Key]] = {}
    for key, statement in closure.statements.items():
        times = (UseTime.IMPORT, UseTime.CALL)
        names = dict.fromkeys(n for when in times for n in _names(resolver, statement, when))
        keys = [s.key for n in names if n in closure.names for s in resolver.providers(n)]
        found[key] = [key for key in keys if key in closure.statements]
    return found


def _ranks(closure: Closure, edges: dict[_Key, list[_Key]]) -> dict[_Key, tuple[int, int]]:
    """Rank statements by the order in which importing their modules ends, then by position."""
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
    """Order keys under constraints; sets of keys are the bits of an integer."""

    def __init__(self, now: _Edges, chained: Iterable[tuple[_Key, _Key]]) -> None:
        """Put the keys in `now` before theirs, and the second of each `chained` pair first."""
        self._keys = list(now)
        self._number = {key: number for number, key in enumerate(self._keys)}
        self._needs = {key: [*others] for key, others in now.items()}
        for key, before in chained:
            self._needs[key].append(before)
        self._needed = self.reached(self._needs)
        self._preferred = dict.fromkeys(self._keys, 0)

    def bits(self, keys: Iterable[_Key]) -> int:
        """Return a set of keys as an integer."""
        return sum(1 << number for number in {self._number[key] for key in keys})

    def prefer(self, key: _Key, before: int) -> None:
        """Prefer to emit the keys `before` ahead of `key`, unless a hard dependency forbids it."""
        self._preferred[key] |= before

    def reached(self, edges: _Edges) -> dict[_Key, int]:
        """Return all keys reachable from each key, including itself."""
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
        """Return all keys in order, choosing the lowest rank where there is a choice."""
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
                else:
                    done[key] = None
                    waiting &= ~self.bits([key])
                    stack.pop()
        return list(done)

    def _may_come(self, key: _Key, user: _Key, begun: int, waiting: int) -> bool:
        """Return True if a key that is not begun depends on no key that waits for it."""
        if begun >> self._number[key] & 1:
            return False
        return key in self._needs[user] or not self._needed[key] & waiting

    def _first(self, key: _Key, rank: Mapping[_Key, tuple[int, int]]) -> Iterator[_Key]:
        """Yield the keys that should come before a key: required ones, then preferred ones."""
        yield from sorted(self._needs[key], key=rank.__getitem__)
        bits = self._preferred[key]
        numbers = [n for n in range(bits.bit_length()) if bits >> n & 1]
        yield from sorted((self._keys[n] for n in numbers), key=rank.__getitem__)
