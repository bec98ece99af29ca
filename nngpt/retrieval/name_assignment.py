"""The name that everything gets in the file: its own, unless two things want the same."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nngpt.retrieval.closure import Closure
from nngpt.retrieval.library import Builtin, Local, Outside, Unknown
from nngpt.retrieval.modules import Statement
from nngpt.retrieval.name_resolution import Link, Linker
from nngpt.retrieval.name_uses import When


@dataclass(frozen=True)
class Imported:
    """An import of the file: `import module as name`, `from module import attribute as name`."""

    module: str
    attribute: str
    name: str


Thing = Local | Imported

LAZY = Imported("importlib", "", "importlib")
"""How a function imports what is not torch's: where it uses it."""


@dataclass
class Names:
    """The names in the file.

    Attributes:
        given: what each thing is called.
        submodules: modules to import for their attribute chain only, as `torch.utils.checkpoint`.
    """

    given: dict[Thing, str] = field(default_factory=dict)
    submodules: set[str] = field(default_factory=set)

    def renamed(self) -> dict[Local, str]:
        """The things that are not called what they were."""
        things = self.given.items()
        return {t: n for t, n in things if isinstance(t, Local) and t.name != n}


def imported_as(link: Link) -> Imported | None:
    """The import that a use of torch or the standard library needs, if it needs one."""
    meaning, use = link.meaning, link.use
    if not isinstance(meaning, Outside) or not meaning.allowed:
        return None
    if use.binding is not None and link.depth == 0:
        return None  # an import inside the function, which stays
    name = use.chain[link.depth - 1][0] if link.depth else use.name
    return Imported(meaning.module, meaning.attribute, name)


def give_names(linker: Linker, closure: Closure, order: Sequence[Statement]) -> Names:
    """Name everything in a closure; the target, first in it, keeps its own."""
    wanted: dict[Thing, list[Link]] = {name: [] for name in closure.names}
    taken: set[str] = set()
    hidden: dict[Local, set[str]] = {}
    names = Names()
    for statement in order:
        links = linker.links(statement)
        for link in links.uses:
            if isinstance(link.meaning, (Builtin, Unknown)) and not link.use.store:
                taken.add(link.use.name)
            thing = thing_of(link, closure)
            if thing is not None:
                wanted.setdefault(thing, []).append(link)
                names.submodules.update(dotted_imports(statement, link))
            elif is_lazy(link):
                wanted.setdefault(LAZY, []).append(link)
        for one in links.imports:
            assigned = not one.kept and not one.followed and not one.inner.top
            if isinstance(one.meaning, Local) and assigned:
                hidden.setdefault(one.meaning, set()).update(one.inner.hidden)
    target = next(iter(closure.names))
    home = target.module
    for thing in sorted(wanted, key=lambda t: _rank(t, target, home)):
        uses = wanted[thing]
        free = (c for c in _candidates(thing) if c not in taken)
        name = next(c for c in free if _fits(c, uses, hidden.get(thing, set())))  # type: ignore[arg-type]
        names.given[thing] = name
        taken.add(name)
    return names


def thing_of(link: Link, closure: Closure) -> Thing | None:
    """What a use refers to in the file, or None if it needs nothing there."""
    if isinstance(link.meaning, Local):
        return link.meaning if link.meaning in closure.names and not link.blockers else None
    return imported_as(link)


def dotted_imports(statement: Statement, link: Link) -> Iterator[str]:
    """`import torch.a.b` statements of the module that a chain `torch.a.b.c` relies on."""
    if link.depth or link.use.binding is not None:
        return
    chain = ".".join([link.use.name, *(attribute for attribute, _ in link.use.chain)]) + "."
    for _, binding in statement.module.bindings.get(link.use.name, []):
        dotted = str(getattr(binding.node, "name", ""))
        plain = getattr(binding.node, "asname", None) is None and "." in dotted
        if plain and binding.statement is not None and chain.startswith(dotted + "."):
            yield dotted


def _rank(thing: Thing, target: Local, home: str) -> tuple[int, str, str, str]:
    if isinstance(thing, Imported):
        return 1 if thing.name == thing.module else 3, thing.module, thing.attribute, thing.name
    near = 0 if thing == target else 2 if thing.module == home else 4
    return near, thing.module, thing.name, ""


def _candidates(thing: Thing) -> Iterator[str]:
    yield thing.name
    suffix = thing.module.rsplit(".", 1)[-1].strip("_") or "inner"
    longer = f"{thing.name}_{suffix}"
    yield longer
    number = 2
    while True:
        yield f"{longer}_{number}"
        number += 1


def _fits(name: str, uses: Iterable[Link], hidden: set[str]) -> bool:
    if keyword.iskeyword(name) or name in hidden:
        return False
    return all(name == _written(link) or name not in link.use.hidden for link in uses)


def _written(link: Link) -> str:
    return link.use.name if not link.depth else ""


def is_lazy(link: Link) -> bool:
    """Whether a use becomes an import of its own, made when the function runs."""
    if not link.blockers or link.use.when is not When.LATER or link.use.store:
        return False
    # An import inside the function stays, and binds the name as ever.
    return link.use.binding is None
