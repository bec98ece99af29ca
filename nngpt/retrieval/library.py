"""Resolve names across sources: the statement, module or import that a name refers to."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nngpt.retrieval.modules import BrokenModule, Module, parse
from nngpt.retrieval.scope import Binding, in_type_checking
from nngpt.retrieval.sources import LibrarySource, SourceFile

ALLOWED = sys.stdlib_module_names | {"torch"}
"""Top-level modules that an extracted file may import."""

_NOISY = {"antigravity", "this"}
"""Modules of the standard library with visible effects on import."""

BUILTINS = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__package__", "__spec__", "__loader__", "__path__",
    "__annotations__", "__builtins__", "__dict__",
}  # fmt: skip
"""Names that Python defines in a module or package."""


@dataclass(frozen=True)
class LocalName:
    """A name bound by statements of a library module."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """The name after its module's."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class InternalModule:
    """A module of the library."""

    module: str


@dataclass(frozen=True)
class ExternalName:
    """An import from a module outside the library; `attribute` is "" for the module itself."""

    module: str
    attribute: str = ""

    @property
    def allowed(self) -> bool:
        """True if an extracted file may import it."""
        return self.module.split(".")[0] in ALLOWED

    @property
    def dotted(self) -> str:
        """The import as one dotted name."""
        return f"{self.module}.{self.attribute}" if self.attribute else self.module


@dataclass(frozen=True)
class BuiltinName:
    """A name that Python defines."""

    name: str


@dataclass(frozen=True)
class UnknownName:
    """A name that nothing binds."""

    module: str
    name: str


Meaning = LocalName | InternalModule | ExternalName | BuiltinName | UnknownName


class Library:
    """Sources whose modules import one another; if module names clash, the first source wins."""

    def __init__(self, sources: Sequence[LibrarySource]) -> None:
        self.sources = tuple(sources)
        self._files: dict[str, tuple[LibrarySource, SourceFile]] = {}
        self._owners: dict[str, list[str]] = {}
        for source in reversed(self.sources):
            self._files |= {name: (source, file) for name, file in source.files.items()}
            for name in source.files:
                self._owners.setdefault(name, []).append(source.name)
        self._modules: dict[str, Module | BrokenModule] = {}
        self._meanings: dict[tuple[str, str, bool], Meaning] = {}
        self._packages = {
            ".".join(parts[:n])
            for parts in (name.split(".") for name in self._files)
            for n in range(1, len(parts))
        }

    def module(self, name: str) -> Module | None:
        """Return a module of the library, parsed on first use; None if it is missing or broken."""
        if name in self._files and name not in self._modules:
            self._modules[name] = parse(*self._files[name])
        module = self._modules.get(name)
        return module if isinstance(module, Module) else None

    def has(self, name: str) -> bool:
        """Return True for a module or package of the library that an extracted file cannot import.

        Importable modules are not followed, even if torch itself is a source.
        """
        known = name in self._files or name in self._packages
        return known and name.split(".")[0] not in ALLOWED

    def owners(self, name: str) -> Sequence[str]:
        """Return the names of the sources that have a module, the one that wins last."""
        return self._owners.get(name, ())

    def modules(self, source: LibrarySource | None = None) -> Iterator[Module]:
        """Yield all modules of the library (of one source) that parse, sorted by name."""
        for name, (owner, _) in sorted(self._files.items()):
            if (source is None or owner is source) and (module := self.module(name)) is not None:
                yield module

    def broken(self) -> list[BrokenModule]:
        """Return the library's modules so far that could not be read or parsed."""
        return [m for _, m in sorted(self._modules.items()) if isinstance(m, BrokenModule)]

    def resolve(self, module: str, name: str, *, outside: bool = False) -> Meaning:
        """Resolve a global name of a module: return what it refers to.

        With `outside`, it is read from elsewhere: submodules count, builtins do not.
        """
        key = module, name, outside
        if key not in self._meanings:
            self._meanings[key] = UnknownName(module, name)  # ends import cycles
            self._meanings[key] = self._look_up(module, name, outside)
        return self._meanings[key]

    def _look_up(self, module: str, name: str, outside: bool) -> Meaning:
        owner = self.module(module)
        if owner and (found := self._bound(owner, name) or self._starred(owner, name)):
            return found
        if not outside and name in BUILTINS:
            return BuiltinName(name)
        if self.has(f"{module}.{name}"):
            return InternalModule(f"{module}.{name}")
        # Lazy names are listed in `import_structure` tables for `__getattr__`.
        lazy = self._lazy(owner, name) if owner and outside else None
        return lazy or UnknownName(module, name)

    def _bound(self, module: Module, name: str) -> Meaning | None:
        places = [b for _, b in module.bindings.get(name, [])]
        real = [b for b in places if not in_type_checking(b)] or places
        if not real:
            return None
        imports = [b for b in real if b.statement is not None]
        if len(imports) < len(real):
            found = [self.resolve_import(module, b) for b in imports if _first_choice(b)]
            # `name = …` cannot bind a module object in the file: use the module itself.
            modules = (meaning for meaning in found if isinstance(meaning, InternalModule))
            return next(modules, LocalName(module.name, name))
        last = self.resolve_import(module, real[-1])
        if all(not b.guards or in_type_checking(b) for b in real):
            return last
        # A guard makes no difference for the library's own names, but does for foreign ones.
        inside = isinstance(last, (LocalName, InternalModule))
        ours = inside or (isinstance(last, ExternalName) and last.allowed)
        if ours and all(_only_choice(b) for b in real):
            return last
        same = inside and all(self.resolve_import(module, b) == last for b in real)
        return last if same else LocalName(module.name, name)

    def resolve_import(self, module: Module, binding: Binding) -> Meaning:
        """Resolve an import: return what it binds."""
        alias, statement = binding.node, binding.statement
        assert isinstance(alias, ast.alias) and statement is not None
        if isinstance(statement, ast.Import):
            whole = alias.name if alias.asname else alias.name.split(".")[0]
            return InternalModule(whole) if self.has(whole) else ExternalName(whole)
        origin = self.origin(module, statement)
        if origin is None:
            return ExternalName(f"{'.' * statement.level}{statement.module or ''}", alias.name)
        return self.resolve_member(origin, alias.name)

    def origin(self, module: Module, statement: ast.Import | ast.ImportFrom) -> str | None:
        """Return the module that a `from … import` reads, or None if it is above the root."""
        if isinstance(statement, ast.Import):
            return None
        name = module.absolute(statement)
        if name is not None and not statement.level and not self.has(name):
            # A program with its own folder on `sys.path` imports `models` for `yolov9.models`.
            own = f"{module.name.split('.')[0]}.{name}"
            return own if name.split(".")[0] not in ALLOWED and self.has(own) else name
        return name

    def resolve_member(self, module: str, name: str) -> Meaning:
        """Resolve `from module import name` or `module.name`: return what it refers to."""
        inner = f"{module}.{name}"
        if not self.has(module):
            if self.has(inner):
                return InternalModule(inner)
            if module.split(".")[0] in ALLOWED and _is_module(inner):
                return ExternalName(inner)
            return ExternalName(module, name)
        found = self.resolve(module, name, outside=True)
        if not isinstance(found, UnknownName):
            return found
        # A package may import its own submodule: `from package import submodule` in `__init__`.
        return InternalModule(inner) if self.has(inner) else ExternalName(module, name)

    def _starred(self, module: Module, name: str) -> Meaning | None:
        for statement in reversed(module.stars):
            origin = self.origin(module, statement)
            if origin is None:
                continue
            if not self.has(origin):
                if name in _public_names(origin):
                    return ExternalName(origin, name)
                continue
            inner = self.module(origin)
            if inner is not None and inner.exports(name):
                found = self.resolve(origin, name, outside=True)
                if not isinstance(found, UnknownName):
                    return found
        return None

    def _lazy(self, module: Module, name: str) -> Meaning | None:
        """Return a name that a lazy `__init__` lists as `{"submodule": ["name", …]}`."""
        if not module.file.package:
            return None
        for submodule, names in _import_structure(module):
            if name in names and self.has(f"{module.name}.{submodule}"):
                return self.resolve(f"{module.name}.{submodule}", name, outside=True)
        return None


def _only_choice(binding: Binding) -> bool:
    """Return True if an import is guarded by nothing but an `if` without `else`."""
    return all(isinstance(node, ast.If) and not node.orelse for node, _ in binding.guards)


def _first_choice(binding: Binding) -> bool:
    return all(branch == "body" for _, branch in binding.guards)


def _import_structure(module: Module) -> Iterator[tuple[str, set[str]]]:
    nodes = (node for statement in module.statements for node in ast.walk(statement.node))
    for table in (node for node in nodes if isinstance(node, ast.Dict)):
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, (ast.List, ast.Tuple)):
                yield str(key.value), {str(getattr(e, "value", "")) for e in value.elts}


@cache
def _is_module(name: str) -> bool:
    """Return True if a dotted name of torch or the standard library is a module."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    places = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    inner = [place.joinpath(*rest) for place in places]
    return any((p / "__init__.py").exists() or p.with_suffix(".py").exists() for p in inner)


@cache
def _public_names(module: str) -> frozenset[str]:
    """Return what `from module import *` binds, for modules an extracted file may import."""
    if module.split(".")[0] not in ALLOWED - _NOISY:
        return frozenset()
    try:
        loaded = importlib.import_module(module)
    except (ImportError, AttributeError, RuntimeError):  # of another version, or another system
        return frozenset()
    names: Iterable[str] = getattr(loaded, "__all__", None) or vars(loaded)
    return frozenset(n for n in names if hasattr(loaded, "__all__") or not n.startswith("_"))
