"""Assign a name to everything in the extracted file, renaming only on a clash."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import BuiltinName, ExternalName, LocalName, UnknownName
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_resolution import NameResolver, ResolvedUse
from nngpt.retrieval.name_uses import UseTime


@dataclass(frozen=True)
class Imported:
    """An import of the file: `import module as name`, `from module import attribute as name`."""

    module: str
    attribute: str
    name: str


NamedItem = LocalName | Imported

LAZY = Imported("importlib", "", "importlib")
"""Import with which functions import packages other than torch when they run."""


@dataclass
class AssignedNames:
    """The name of each item in the file; `submodules` are imported only for attribute chains."""

    given: dict[NamedItem, str] = field(default_factory=dict)
    submodules: set[str] = field(default_factory=set)

    def renamed(self) -> dict[LocalName, str]:
        """Return the definitions whose name in the file is not their own."""
        things = self.given.items()
        return {t: n for t, n in things if isinstance(t, LocalName) and t.name != n}


def _imported_as(link: ResolvedUse) -> Imported | None:
    """Return the import that gives a use of torch or the standard library its assigned name."""
    meaning, use = link.meaning, link.use
    if not isinstance(meaning, ExternalName) or not meaning.allowed:
        return None
    if use.binding is not None and link.depth == 0:
        return None  # the import inside the function stays
    name = use.chain[link.depth - 1][0] if link.depth else use.name
    return Imported(meaning.module, meaning.attribute, name)


def assign_names(
    resolver: NameResolver, closure: Closure, order: Sequence[Statement]
) -> AssignedNames:
    """Assign a name to everything in a closure; the target, its first item, keeps its own."""
    wanted: dict[NamedItem, list[ResolvedUse]] = {name: [] for name in closure.names}
    taken: set[str] = set()
    hidden: dict[LocalName, set[str]] = {}
    names = AssignedNames()
    for statement in order:
        links = resolver.resolve(statement)
        for link in links.uses:
            if isinstance(link.meaning, (BuiltinName, UnknownName)) and not link.use.store:
                taken.add(link.use.name)
            thing = item_of(link, closure)
            if thing is not None:
                wanted.setdefault(thing, []).append(link)
                if isinstance(thing, Imported):  # a guarded import stays in its statement
                    names.submodules.update(_dotted_imports(statement, link))
            elif is_lazy(link):
                wanted.setdefault(LAZY, []).append(link)
        for one in links.imports:
            assigned = not (one.kept or one.followed or one.inner.top)
            if isinstance(one.meaning, LocalName) and assigned:
                hidden.setdefault(one.meaning, set()).update(one.inner.hidden)
    target = next(iter(closure.names))
    for thing in sorted(wanted, key=lambda t: _rank(t, target)):
        uses = wanted[thing]
        shadowed = hidden.get(thing, set()) if isinstance(thing, LocalName) else set[str]()
        free = (c for c in _candidates(thing) if c not in taken)
        name = next(c for c in free if _fits(c, uses, shadowed))
        names.given[thing] = name
        taken.add(name)
    return names


def item_of(link: ResolvedUse, closure: Closure) -> NamedItem | None:
    """Return the item with an assigned name to which a use refers, or None."""
    if isinstance(link.meaning, LocalName):
        return link.meaning if link.meaning in closure.names and not link.blockers else None
    return _imported_as(link)


def _dotted_imports(statement: Statement, link: ResolvedUse) -> Iterator[str]:
    """Yield the modules `torch.a.b` whose assigned name must be the full dotted one."""
    if link.depth or link.use.binding is not None:
        return
    chain = ".".join([link.use.name, *(attribute for attribute, _ in link.use.chain)]) + "."
    for _, binding in statement.module.bindings.get(link.use.name, []):
        dotted = str(getattr(binding.node, "name", ""))
        plain = getattr(binding.node, "asname", None) is None and "." in dotted
        if plain and binding.statement is not None and chain.startswith(dotted + "."):
            yield dotted


def _rank(thing: NamedItem, target: LocalName) -> tuple[int, str, str, str]:
    if isinstance(thing, Imported):
        return 1 if thing.name == thing.module else 3, thing.module, thing.attribute, thing.name
    near = 0 if thing == target else 2 if thing.module == target.module else 4
    return near, thing.module, thing.name, ""


def _candidates(thing: NamedItem) -> Iterator[str]:
    yield thing.name
    suffix = thing.module.rsplit(".", 1)[-1].strip("_") or "inner"
    longer = f"{thing.name}_{suffix}"
    yield longer
    yield from (f"{longer}_{number}" for number in itertools.count(2))


def _fits(name: str, uses: Iterable[ResolvedUse], hidden: set[str]) -> bool:
    if keyword.iskeyword(name) or name in hidden:
        return False
    return all(
        name not in link.use.hidden or (name == link.use.name and not link.depth) for link in uses
    )


def is_lazy(link: ResolvedUse) -> bool:
    """Return True if a use is assigned a name of its own, imported when the function runs."""
    use = link.use  # with a binding, an import inside the function stays and binds the name
    return bool(link.blockers) and use.when is UseTime.CALL and not (use.store or use.binding)
