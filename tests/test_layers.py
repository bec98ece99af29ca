"""Imports point down only: a module may use its own layer's package and the layers below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import nngpt

PACKAGE = Path(nngpt.__file__).parent
LAYERS = [
    {"nngpt"},
    {"nngpt.errors", "nngpt.records"},
    {"nngpt.files"},
    {"nngpt.config"},
    {"nngpt.protocols", "nngpt.plugins", "nngpt.data.transform_names"} | {"nngpt.statistics"},
    {"nngpt.generation.prompts.template"},
    {"nngpt.generation.contract"},
    {"nngpt.data", "nngpt.store", "nngpt.novelty"},
    {"nngpt.novelty.dedup"},
    {"nngpt.retrieval"},
    {"nngpt.store.lemur"},
    {"nngpt.generation.llm", "nngpt.sandbox"},
    {"nngpt.finetuning"},
    {
        "nngpt.finetuning.compare",
        "nngpt.generation.prompts",
        "nngpt.prediction",
        "nngpt.reports.analysis",
    },
    {"nngpt.prediction.hpo"},
    {"nngpt.reports.progress.run", "nngpt.reports.tables.console"},
    {"nngpt.cycle"},
    {"nngpt.cycle"},
    {"nngpt.reports"},
    {"nngpt.reports.live"},
    {"nngpt.cycle.parts", "nngpt.cycle.background"},
    {"nngpt.cycle.generator", "nngpt.cycle.finetune", "nngpt.cycle.probe"}
    | {"nngpt.cycle.confirm", "nngpt.cycle.export"},
    {"nngpt.cycle.loop"},
    {"nngpt.cli"},
    {"nngpt.__main__"},
]


def rank(module: str) -> int:
    """The layer of a module: that of its longest listed prefix."""
    listed = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    parts = module.split(".")
    prefixes = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return next(listed[prefix] for prefix in prefixes if prefix in listed)


@cache
def modules() -> list[str]:
    files = [f.relative_to(PACKAGE.parent) for f in PACKAGE.rglob("*.py")]
    return sorted(".".join(f.with_suffix("").parts).removesuffix(".__init__") for f in files)


def imports(module: str) -> Iterator[str]:
    """Modules of ours that a module imports anywhere, but for type checking only."""
    path = PACKAGE.parent.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECK" in ast.dump(n.test)
    ]
    skipped = {id(inner) for node in typing_only for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("nngpt"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nngpt"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() else str(node.module)


@pytest.mark.parametrize("module", modules())
def test_imports_point_down(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    for imported in imports(module):
        same_package = imported == own or imported.startswith(own + ".")
        assert same_package or rank(imported) < rank(module), f"{module} imports {imported}"


def test_every_module_has_a_layer_of_its_own() -> None:
    # "nngpt" itself is the lowest layer: what falls through to it was forgotten above.
    assert [m for m in modules() if rank(m) == 0] == ["nngpt"]
