"""Several sources as one name space: which statement, module or import stands behind a name."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nngpt.retrieval.modules import Broken, Module, parse
from nngpt.retrieval.scope import Binding, for_types
from nngpt.retrieval.sources import STANDARD, File, Source

ALLOWED = STANDARD | {"torch"}
"""What an extracted file may import."""

_NOISY = {"antigravity", "this"}
"""Modules of the standard library that do something when they are imported."""

_BUILTINS = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__package__", "__spec__", "__loader__", "__path__",
    "__annotations__", "__builtins__", "__dict__",
}  # fmt: skip


@dataclass(frozen=True)
class Local:
    """A name that statements of a module bind."""

    module: str
    name: str


@dataclass(frozen=True)
class Inside:
    """A module of the library itself."""

    module: str


@dataclass(frozen=True)
class Outside:
    """What an import of a module that is not in the library brings.

    Attributes:
        attribute: what is taken from the module, or "" for the module itself.
    """

    module: str
    attribute: str = ""

    @property
    def allowed(self) -> bool:
        """True if an extracted file may import it."""
        return self.module.split(".")[0] in ALLOWED

    @property
    def dotted(self) -> str:
        """As one dotted name."""
        return f"{self.module}.{self.attribute}" if self.attribute else self.module


@dataclass(frozen=True)
class Builtin:
    """A name that Python itself brings."""

    name: str


@dataclass(frozen=True)
class Unknown:
    """A name that nothing binds."""

    module: str
    name: str


Meaning = Local | Inside | Outside | Builtin | Unknown


class Library:
    """Sources whose modules import one another.

    Args:
        sources: on clashes of module names the first wins.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self._files: dict[str, tuple[Source, File]] = {}
        for source in reversed(self.sources):
            self._files.update({name: (source, file) for name, file in source.files.items()})
        self._modules: dict[str, Module | Broken] = {}
        self._meanings: dict[tuple[str, str, bool], Meaning] = {}
        self._packages = {
            ".".join(parts[:n])
            for parts in (name.split(".") for name in self._files)
            for n in range(1, len(parts))
        }

    def module(self, name: str) -> Module | None:
        """A module, parsed on first use; None if it is not here or broken."""
        if name not in self._modules:
            if name not in self._files:
                return None
            self._modules[name] = parse(*self._files[name])
        module = self._modules[name]
        return module if isinstance(module, Module) else None

    def has(self, name: str) -> bool:
        """Whether a module or a folder of modules has this name, and is to be followed.

        What an extracted file may import is not followed, even if torch itself is a source.
        """
        known = name in self._files or name in self._packages
        return known and name.split(".")[0] not in ALLOWED

    def modules(self, source: Source | None = None) -> Iterator[Module]:
        """All modules (of one source) that parse, in the order of their names."""
        for name, (owner, _) in sorted(self._files.items()):
            if (source is None or owner is source) and (module := self.module(name)) is not None:
                yield module

    def broken(self) -> list[Broken]:
        """Modules met so far that could not be read or parsed."""
        return [m for _, m in sorted(self._modules.items()) if isinstance(m, Broken)]

    # -- names ------------------------------------------------------------------------------

    def meaning(self, module: str, name: str, *, outside: bool = False) -> Meaning:
        """What a global name stands for in a module.

        Args:
            outside: it is read from without, as `module.name`: submodules count, builtins do not.
        """
        key = module, name, outside
        if key not in self._meanings:
            self._meanings[key] = Unknown(module, name)  # cuts circles of imports
            self._meanings[key] = self._look_up(module, name, outside)
        return self._meanings[key]

    def _look_up(self, module: str, name: str, outside: bool) -> Meaning:
        owner = self.module(module)
        if owner is not None:
            found = self._bound(owner, name) or self._starred(owner, name)
            if found is not None:
                return found
        if outside or name not in _BUILTINS:
            inner = f"{module}.{name}"
            if self.has(inner):
                return Inside(inner)
            # `import_structure` tables and `__getattr__` name where lazy names live.
            lazy = self._lazy(owner, name) if owner is not None and outside else None
            return lazy or Unknown(module, name)
        return Builtin(name)

    def _bound(self, module: Module, name: str) -> Meaning | None:
        places = [b for _, b in module.bindings.get(name, [])]
        real = [b for b in places if not for_types(b)] or places
        if not real:
            return None
        imports = [b for b in real if b.statement is not None]
        if len(imports) < len(real):
            found = [self.imported(module, b) for b in imports if _first_choice(b)]
            # A module object cannot be bound by `name = …` in the file: take the module itself.
            inside = [m for m in found if isinstance(m, Inside)]
            return inside[0] if inside else Local(module.name, name)
        last = self.imported(module, real[-1])
        if all(not b.guards or for_types(b) for b in real):
            return last
        # Behind a guard, what is ours is the same with or without it; what is foreign is not.
        ours = isinstance(last, (Local, Inside)) or (isinstance(last, Outside) and last.allowed)
        if ours and all(_only_choice(b) for b in real):
            return last
        if isinstance(last, (Local, Inside)) and {self.imported(module, b) for b in real} == {last}:
            return last
        return Local(module.name, name)

    def imported(self, module: Module, binding: Binding) -> Meaning:
        """What an import binds."""
        alias, statement = binding.node, binding.statement
        assert isinstance(alias, ast.alias) and statement is not None
        if isinstance(statement, ast.Import):
            whole = alias.name if alias.asname else alias.name.split(".")[0]
            return self._as_module(whole)
        origin = self.origin(module, statement)
        if origin is None:
            return Outside(f"{'.' * statement.level}{statement.module or ''}", alias.name)
        return self.member(origin, alias.name)

    def origin(self, module: Module, statement: ast.Import | ast.ImportFrom) -> str | None:
        """The module that a `from … import` takes from, or None if there is no such place.

        Programs that put their own folder on `sys.path` import `models.common` for
        `yolov9.models.common`.
        """
        if isinstance(statement, ast.Import):
            return None
        name = module.absolute(statement)
        if name is not None and not statement.level and not self.has(name):
            own = f"{module.name.split('.')[0]}.{name}"
            return own if name.split(".")[0] not in ALLOWED and self.has(own) else name
        return name

    def member(self, module: str, name: str) -> Meaning:
        """What `from module import name` brings, or what `module.name` reads."""
        if not self.has(module):
            inner = f"{module}.{name}"
            if self.has(inner):
                return Inside(inner)
            if module.split(".")[0] in ALLOWED and _is_module(inner):
                return Outside(inner)
            return Outside(module, name)
        found = self.meaning(module, name, outside=True)
        return Outside(module, name) if isinstance(found, Unknown) else found

    def _as_module(self, name: str) -> Meaning:
        return Inside(name) if self.has(name) else Outside(name)

    def _starred(self, module: Module, name: str) -> Meaning | None:
        for statement in reversed(module.stars):
            origin = self.origin(module, statement)
            if origin is None:
                continue
            if not self.has(origin):
                if name in _public_names(origin):
                    return Outside(origin, name)
                continue
            inner = self.module(origin)
            if inner is None or not self._exports(inner, name):
                continue
            found = self.meaning(origin, name, outside=True)
            if not isinstance(found, Unknown):
                return found
        return None

    def _exports(self, module: Module, name: str) -> bool:
        return name in module.listed if module.listed is not None else not name.startswith("_")

    def _lazy(self, module: Module, name: str) -> Meaning | None:
        """A name that a lazy `__init__` lists as `{"submodule": ["name", …]}`."""
        if not module.file.package:
            return None
        for submodule, names in _import_structure(module):
            if name in names and self.has(f"{module.name}.{submodule}"):
                return self.meaning(f"{module.name}.{submodule}", name, outside=True)
        return None


def _only_choice(binding: Binding) -> bool:
    """Whether nothing guards an import but an `if` without an `else`."""
    return all(isinstance(node, ast.If) and not node.orelse for node, _ in binding.guards)


def _first_choice(binding: Binding) -> bool:
    return all(branch == "body" for _, branch in binding.guards)


def _import_structure(module: Module) -> Iterator[tuple[str, set[str]]]:
    for statement in module.statements:
        for node in ast.walk(statement.node):
            if not isinstance(node, ast.Dict):
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, (ast.List, ast.Tuple)):
                    yield str(key.value), {str(getattr(e, "value", "")) for e in value.elts}


@cache
def _is_module(name: str) -> bool:
    """Whether a dotted name of torch or the standard library is a module, without importing it."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    places = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    inner = [place.joinpath(*rest) for place in places]
    return any((p / "__init__.py").exists() or p.with_suffix(".py").exists() for p in inner)


@cache
def _public_names(module: str) -> frozenset[str]:
    """What `from module import *` brings, for a module that an extracted file may import."""
    if module.split(".")[0] not in ALLOWED - _NOISY:
        return frozenset()
    try:
        loaded = importlib.import_module(module)
    except (ImportError, AttributeError, RuntimeError):  # of another version, or another system
        return frozenset()
    names: Iterable[str] = getattr(loaded, "__all__", None) or vars(loaded)
    return frozenset(n for n in names if hasattr(loaded, "__all__") or not n.startswith("_"))
