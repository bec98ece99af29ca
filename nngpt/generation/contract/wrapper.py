"""Put LEMUR's contract around an ordinary `nn.Module`; its file is parsed, never executed.

The result is one network file: the definitions that the network needs, with their text unchanged,
and a class `Net` that builds the network and trains it as nngpt's own loop does. Statements that
the network does not need, such as a training script around it, are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from nngpt.errors import UserError, nearest, shortened
from nngpt.generation.contract.constructor import (
    DROPOUT,
    Signature,
    arguments,
    own_dropout,
    signature,
)
from nngpt.generation.contract.interface import SUPPORTED, lineage
from nngpt.records import Refusal, Stage
from nngpt.retrieval.modules import Module, Statement
from nngpt.retrieval.source_text import Edit, Span
from nngpt.retrieval.sources import LibrarySource, SourceFile

_Target = ast.ClassDef | ast.FunctionDef
_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict"})
_SHOWN = 6
_REST = re.compile(rb"[^\n]*\n?(?:[ \t]+#[^\n]*\n?)*")
"""The rest of a statement's last line, and the indented comments below it."""
_BLANK = re.compile(rb"[ \t]*(\n|$)")

_NET = """

# LEMUR's contract around {name}, by nngpt: training as in nngpt's own loop
import torch


def supported_hyperparameters():
    return {supported}


class Net(torch.nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.network = {call}
{lazy}
    def forward(self, x):
        return self.network(x)

    def train_setup(self, prm):
        self.to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        for images, labels in train_data:
            self.optimizer.zero_grad()
            logits = self(images)
            logits = logits[0] if isinstance(logits, (tuple, list)) else logits
            loss = torch.nn.functional.cross_entropy(logits, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
            self.optimizer.step()
"""
_LAZY = """\
        with torch.no_grad():  # lazy layers take their sizes from the first input
            self.eval()(torch.zeros(2, *in_shape[1:]))
        self.train()
"""


@dataclass(frozen=True)
class Wrapped:
    """An ordinary network in LEMUR's contract.

    Attributes:
        code: the network file.
        call: how the file builds the network, such as `Small(num_classes=out_shape[0])`.
        dropout: the constructor's own default, None if dropout is no hyperparameter or has none.
        statements: number of statements of the original file.
        left_out: number of those that are not in `code`.
    """

    code: str
    call: str
    dropout: float | None
    statements: int
    left_out: int


def wrap(
    code: str, tree: ast.Module, name: str | None, init: Mapping[str, str] | None
) -> Wrapped | Refusal:
    """Wrap the network of an ordinary file.

    Args:
        tree: syntax tree of `code`.
        name: class to wrap, or function that returns the network; None for the only network.
        init: expressions of the constructor's arguments, as `read_init` returns them.

    Raises: UserError if `name` or `init` names what is not there.
    """
    file = _File(code, tree)
    chosen = file.choose(name)
    if isinstance(chosen, Refusal):
        return chosen
    known = file.signature(chosen)
    given = arguments(known, init or {})
    if missing := _missing(known, given):
        return _ask(file, chosen.name, missing)
    taken = {name: _free(f"{name}_", code) for name in ("Net", SUPPORTED) if name in file.names}
    kept = file.needed([chosen.name, *_names(given.values())])
    call = f"{chosen.name}({', '.join(f'{name}={value}' for name, value in given.items())})"
    hyperparameters = ["lr", "momentum", *(["dropout"] if DROPOUT in call else [])]
    supported = "{" + ", ".join(f'"{name}"' for name in hyperparameters) + "}"
    lazy = _LAZY if "Lazy" in code else ""
    net = _NET.format(name=chosen.name, supported=supported, call=_renamed(call, taken), lazy=lazy)
    own = (own_dropout(p) for p in known.parameters if given.get(p.name) == DROPOUT)
    dropped = [s for s in file.module.statements if s not in kept]
    return Wrapped(
        code=file.text(kept, dropped, taken).rstrip() + "\n" + net,
        call=call,
        dropout=next((value for value in own if value is not None), None),
        statements=len(file.module.statements),
        left_out=len(dropped),
    )


class _File:
    """The statements of an ordinary network file, and the networks that it defines.

    Attributes:
        names: names that the file binds at module level.
    """

    def __init__(self, code: str, tree: ast.Module) -> None:
        raw = code.encode()
        source = LibrarySource("", "", "", "file", {})
        one = SourceFile("network", "network.py", False, lambda: raw)
        self.module, self._tree = Module(source, one, raw, tree, code), tree
        self.names = self.module.bindings.keys()
        self._targets: dict[str, _Target] = {
            n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)
        }

    def choose(self, name: str | None) -> _Target | Refusal:
        """Return the class or function of this name, or the file's only network.

        Raises: UserError if there is none of this name.
        """
        if name is not None:
            if name in self._targets:
                return self._targets[name]
            text = f"there is no class or function {shortened(name, 60)!r}"
            raise UserError(text, where="--class", hint=nearest(name, self.networks))
        if len(self._whole) == 1:
            return self._targets[self._whole[0]]
        if not self.networks:
            return Refusal(Stage.CONTRACT, "no class of the file is an nn.Module")
        names = ", ".join((self._whole or self.networks)[:_SHOWN])
        reason = f"there are several networks in the file: {shortened(names, 200)}"
        return Refusal(Stage.CONTRACT, reason, "Choose one with --class.")

    def signature(self, target: _Target) -> Signature:
        """Return what builds a network; a function may pass arguments on to the class."""
        known = signature(self._tree, target)
        if isinstance(target, ast.FunctionDef):
            reached = self._reached([target.name])
            built = [name for name in self._whole if name in reached]
            if len(built) == 1:
                return known.passing_on(signature(self._tree, self._targets[built[0]]))
        return known

    @cached_property
    def _whole(self) -> list[str]:
        """The names of the networks that are no part of another one."""
        used = {name: self._reached([name]) for name in self.networks}
        tops = [n for n in used if not any(n in used[other] for other in used if other != n)]
        passed = {name for node in self._targets.values() for name in _passed_on(node)}
        return [name for name in tops if name not in passed] or tops

    @cached_property
    def networks(self) -> list[str]:
        """The names of the classes that are an `nn.Module`."""
        return [name for name, node in self._targets.items() if self._is_network(node)]

    def _is_network(self, node: _Target) -> bool:
        if not isinstance(node, ast.ClassDef):
            return False
        owners, outside = lineage(self._tree, node)
        bases = {_last_name(base) for owner in owners for base in owner.bases}
        if bases & {"Module", *_CONTAINERS}:
            return True
        methods = {n.name for owner in owners for n in owner.body if isinstance(n, ast.FunctionDef)}
        return outside and "forward" in methods and "Function" not in bases

    def builders(self, name: str) -> list[str]:
        """Return the functions that need a class and could be called for a network."""
        found = []
        for other, node in self._targets.items():
            if isinstance(node, ast.FunctionDef) and name in self._reached([other]):
                known = self.signature(node)
                if not _missing(known, arguments(known, {})):
                    found.append(other)
        return found

    def needed(self, names: Iterable[str]) -> set[Statement]:
        """Return the statements that the definitions of some names need, and all star imports."""
        reached = {"*", *self._reached(names)}
        return {statement for name in reached for statement in self._providers(name)}

    def _reached(self, names: Iterable[str]) -> set[str]:
        """Return names, and all that their definitions use."""
        found, todo = set[str](), [*names]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                for statement in self._providers(name):
                    todo += [use.name for use in statement.uses.uses]
        return found

    def _providers(self, name: str) -> list[Statement]:
        """Return the statements that bind a name or change its object, except a main block's."""
        bound = [statement for statement, _ in self.module.bindings.get(name, [])]
        imported = any(statement.is_import for statement in bound)
        changed = [] if imported or not bound else self.module.changes.get(name, [])
        return [one for one in (*bound, *changed) if not _is_main(one.node)]

    def text(
        self, kept: set[Statement], dropped: Collection[Statement], names: Mapping[str, str]
    ) -> str:
        """Return the file without `dropped`, and with the global `names` renamed."""
        text = self.module.text
        edits = [
            Edit(*use.span, names[use.name])
            for statement in kept
            for use in statement.uses.uses
            if use.name in names and use.span is not None
        ]
        lines = {n for statement in kept for n in _lines(statement)}
        edits += [
            Edit(*self._block(statement), "")
            for statement in dropped
            if lines.isdisjoint(_lines(statement))
        ]
        return text.edited(Span(0, len(text.raw)), edits)

    def _block(self, statement: Statement) -> Span:
        """Return a statement's whole lines and blank lines beside it, so that one run is left."""
        raw, span = self.module.text.raw, statement.span
        start = raw.rfind(b"\n", 0, span.start) + 1
        rest = _REST.match(raw, span.end)
        end = rest.end() if rest else span.end
        if _BLANK.match(raw, end):
            start = len(raw[:start].rstrip()) + 1 if raw[:start].strip() else 0
        return Span(start, end)


def _ask(file: _File, name: str, missing: list[str]) -> Refusal:
    """Return the refusal of a constructor whose required parameters are not recognised."""
    reason = f"nngpt cannot guess what {name} takes as {shortened(', '.join(missing), 200)}"
    example = ", ".join(f"{parameter}=…" for parameter in missing[:_SHOWN])
    detail = f"Give values: --init '{shortened(example, 200)}'"
    if builders := file.builders(name):
        detail += f", or choose a function that builds it: --class {builders[0]}"
    return Refusal(Stage.CONTRACT, reason, detail)


def _missing(known: Signature, given: Mapping[str, str]) -> list[str]:
    return [p.name for p in known.parameters if p.default is None and p.name not in given]


def _names(expressions: Iterable[str]) -> Iterator[str]:
    """Yield the names in expressions."""
    for expression in expressions:
        for node in ast.walk(ast.parse(expression, mode="eval")):
            if isinstance(node, ast.Name):
                yield node.id


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    """Return an expression with names replaced, but not attributes and keywords."""
    word = r"(?<![\w.])\w+(?!\w|=(?!=))"
    return re.sub(word, lambda found: names.get(found[0], found[0]), expression)


def _free(name: str, code: str) -> str:
    """Return a name that the code does not use, such as `Net_`."""
    while re.search(rf"\b{name}\b", code):
        name += "_"
    return name


def _is_main(node: ast.stmt) -> bool:
    """Return True for `if __name__ == "__main__":`, which does not run on import."""
    names = ast.walk(node.test) if isinstance(node, ast.If) else ()
    return any(isinstance(part, ast.Name) and part.id == "__name__" for part in names)


def _lines(statement: Statement) -> range:
    node = statement.node
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    return range(first, (node.end_lineno or node.lineno) + 1)


def _passed_on(node: _Target) -> Iterator[str]:
    """Yield names that a function uses as values: `block` of `ResNet(block, 3)`, not `ResNet`."""
    inner = [n for statement in node.body for n in ast.walk(statement)]
    called = {id(call.func) for call in inner if isinstance(call, ast.Call)}
    if isinstance(node, ast.FunctionDef):
        yield from (n.id for n in inner if isinstance(n, ast.Name) and id(n) not in called)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
