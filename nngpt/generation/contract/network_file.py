"""Read a user's network file: LEMUR's contract as it stands, or an ordinary `nn.Module` wrapped.

Nothing is executed. `read_network` reads a file or source text, `read_class` a live class.
"""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from nngpt.errors import UserError
from nngpt.files import LARGEST_CODE, read_text
from nngpt.generation.contract.candidate import parse
from nngpt.generation.contract.constructor import read_init
from nngpt.generation.contract.interface import (
    claims_interface,
    interface_faults,
    read_supported,
)
from nngpt.generation.contract.wrapper import wrap
from nngpt.records import Refusal, Stage
from nngpt.retrieval.scope import bindings_of

PAGE = "docs/contract.md"
"""The page that describes the contract."""


@dataclass(frozen=True)
class NetworkFile:
    """A network file that keeps LEMUR's contract.

    Attributes:
        code: the whole file; of an ordinary network, wrapped.
        supported: names of the network's hyperparameters.
        own: values that the network itself gives them, such as the default of its dropout.
        notes: assumptions to report to the user.
    """

    code: str
    supported: frozenset[str]
    own: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_network(
    source: str | Path, class_name: str | None = None, init: str | None = None
) -> NetworkFile | Refusal:
    """Read a network from a file (`Path`) or from source text.

    A file written for LEMUR's contract must keep it: one refusal lists all faults. Any other is
    wrapped, and so is the class `class_name`.

    Args:
        class_name: class of the network, or function that returns it; None for the only one.
        init: arguments of its constructor, such as "num_classes={classes}, depth=3".

    Raises:
        UserError: the file cannot be read, `class_name` is not in it, or `init` is wrong.
    """
    given = None if init is None else read_init(init)
    code = read_text(source, LARGEST_CODE) if isinstance(source, Path) else source
    try:
        tree = parse(code)
        if isinstance(tree, Refusal):
            return tree
        if class_name in (None, "Net") and given is None and claims_interface(tree):
            return _as_it_stands(code, tree)
        return _wrapped(code, tree, class_name, given)
    except (RecursionError, MemoryError):
        return Refusal(Stage.PARSE, "the code is nested too deeply to be read")


def read_class(network: type[Any], init: str | None = None) -> NetworkFile | Refusal:
    """Read the network of a live class from its file, or from its cell of a notebook.

    Raises: UserError if its source is not available, or `init` is wrong.
    """
    return read_network(class_source(network), network.__name__, init)


def faults_line(refusal: Refusal) -> str:
    """Return a refused network file's reason and details as one line."""
    return "; ".join([refusal.reason, *refusal.detail.splitlines()])


def _as_it_stands(code: str, tree: ast.Module) -> NetworkFile | Refusal:
    """Return a file of LEMUR's contract, or one refusal with all its faults."""
    faults, supported = interface_faults(tree), read_supported(tree)
    if len(faults) == 1:
        return replace(faults[0], reason=f"{faults[0].reason} ({PAGE})")
    if faults or isinstance(supported, Refusal):
        lines = [": ".join(filter(None, (fault.detail, fault.reason))) for fault in faults]
        reason = f"{len(faults)} faults against the contract ({PAGE})"
        return Refusal(Stage.CONTRACT, reason, "\n".join(lines))
    return NetworkFile(code, supported)


def _wrapped(
    code: str, tree: ast.Module, class_name: str | None, init: Mapping[str, str] | None
) -> NetworkFile | Refusal:
    found = wrap(code, tree, class_name, init)
    if isinstance(found, Refusal):
        return found
    supported = read_supported(ast.parse(found.code))
    assert not isinstance(supported, Refusal), "the wrapper writes it"
    note = f"{found.call}, trained with nngpt's own loop"
    if found.left_out:
        note += f"; {found.left_out} of {found.statements} statements are left out as not needed"
    own = {} if found.dropout is None else {"dropout": found.dropout}
    return NetworkFile(found.code, supported, own, (note,))


def class_source(network: type[Any]) -> str:
    """Return the source around a class; names of modules that it lacks are imported first.

    A cell of a notebook often uses the imports of another.
    """
    space = vars(sys.modules.get(network.__module__, ModuleType("none")))
    methods = (value for value in vars(network).values() if isinstance(value, FunctionType))
    files = (method.__code__.co_filename for method in methods)
    text = next(filter(None, ("".join(linecache.getlines(file, space)) for file in files)), "")
    if not text:
        hint = "Save it in a file, and give the file"
        raise UserError("its source is not available", where=network.__name__, hint=hint)
    tree = parse(text)
    if isinstance(tree, Refusal):
        return text
    bound = bindings_of(tree.body).names()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    lines = (_import(name, space.get(name)) for name in sorted(used - bound))
    return "".join(filter(None, lines)) + text


def _import(name: str, value: object) -> str:
    """Return the import of a module, or of something of torch, "" for anything else."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}\n"
    module = getattr(value, "__module__", None) or ""
    if module.partition(".")[0] == "torch" and hasattr(value, "__name__"):
        return f"from {module} import {value.__name__} as {name}\n"
    return ""
