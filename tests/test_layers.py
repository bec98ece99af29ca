"""Imports point down only, between units (a package or a root module) and inside packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nngpt

PACKAGE = Path(nngpt.__file__).parent
ORDER = """
    __main__
    cli api
    search
    cycle
    reports
    finetuning prediction
    novelty
    generation sandbox
    retrieval
    store data
    config downloads gpus
    files plugins statistics protocols
    records errors
    __init__
"""
"""The units from top to bottom; a unit imports those of lower lines only."""

LEVELS = {unit: n for n, line in enumerate(ORDER.split("\n")) for unit in line.split()}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    files = {f.relative_to(PACKAGE.parent).with_suffix(""): f for f in PACKAGE.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): file for name, file in files.items()}


def unit(module: str) -> str:
    """The package or root module directly below `nngpt` to which a module belongs."""
    return f"{module}.__init__".split(".")[1]


@cache
def imports(module: str, types: bool = False) -> frozenset[str]:
    """Modules of the package that a module imports anywhere; with `types`, for annotations too."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    return frozenset(_imports(tree, types)) - {module}


def _imports(node: ast.AST, types: bool) -> Iterator[str]:
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not types:
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules())
    elif isinstance(node, ast.ImportFrom) and node.module in modules():
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in modules() else str(node.module)
    for inner in ast.iter_child_nodes(node):
        yield from _imports(inner, types)


def units() -> dict[str, set[str]]:
    """Unit → the units it imports."""
    found: dict[str, set[str]] = {unit(module): set() for module in modules()}
    for module in modules():
        found[unit(module)] |= {unit(name) for name in imports(module)} - {unit(module)}
    return found


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
    """The longest path in an acyclic graph."""
    longest: dict[str, list[str]] = {}
    for node in TopologicalSorter(graph).static_order():
        below = (longest[inner] for inner in graph.get(node, ()))
        longest[node] = [node, *max(below, key=len, default=[])]
    return max(longest.values(), key=len)


def test_the_tree_has_no_other_units() -> None:
    assert set(units()) == set(LEVELS)


@pytest.mark.parametrize("name", LEVELS)
def test_imports_point_down(name: str) -> None:
    upwards = [
        f"{module} imports {imported}"
        for module in modules()
        if unit(module) == name
        for imported in imports(module)
        if unit(imported) != name and LEVELS[unit(imported)] <= LEVELS[name]
    ]
    assert not upwards


def test_no_modules_import_each_other_in_a_circle() -> None:
    # A package's __init__ is left out as an importer: it collects what its modules offer.
    files = (m for m, file in modules().items() if file.name != "__init__.py")
    graph = {module: imports(module, types=True) for module in files}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' → '.join(error.args[1])}")


def test_the_house_stays_small() -> None:
    arrows = {(one, other) for one, others in units().items() for other in others}
    assert len(arrows) <= 160
    assert len(longest_chain(units())) <= 12
