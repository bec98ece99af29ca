"""The audit of an extraction: each decision once, with its place, and failures by class."""

from __future__ import annotations

from pathlib import Path

import pytest
from retrieval.rag_trees import extractor, write_tree

from nngpt.errors import UserError
from nngpt.retrieval.audit import decisions_of, decisions_of_error, import_fault
from nngpt.retrieval.closure import find_closure
from nngpt.retrieval.decisions import Decision, DecisionKind, FailureClass, by_failure, by_kind
from nngpt.retrieval.library import Library, LocalName
from nngpt.retrieval.name_assignment import assign_names
from nngpt.retrieval.name_resolution import NameResolver
from nngpt.retrieval.sources import from_folder
from nngpt.retrieval.statement_order import order_statements
from nngpt.retrieval.static_check import check

FILES = {
    "pkg/block.py": """\
        import cupy
        import torch
        from torch import nn
        from .other import TABLE, scale as shrink
        try:
            import accimage
        except ImportError:
            accimage = None
        TABLE["block"] = 1
        def scale(x):
            return x
        class Block(nn.Module):
            def forward(self, x):
                if accimage is None:
                    return cupy.asarray(x)
                x = scale(shrink(x))
                return torch.ops.pkg.align(missing(x))
        """,
    "pkg/other.py": """\
        TABLE = {}
        TABLE.update(other=2)
        def scale(x):
            from math import pi
            return pi * TABLE["other"] * x
        """,
}


def extracted(root: Path, target: str) -> tuple[Decision, ...]:
    """Return the decisions of an extraction or of its refusal."""
    try:
        return extractor(root).extract(target).decisions
    except UserError as error:
        return decisions_of_error(target, error)


def test_an_audit_holds_each_decision_once(tmp_path: Path) -> None:
    found = extracted(write_tree(tmp_path, FILES), "pkg.block.Block")
    facts = [
        (d.kind.name, d.name, d.module, d.line, d.needed_by, d.failure and d.failure.name)
        for d in found
    ]
    block, other = "pkg.block", "pkg.other"
    assert facts == [
        ("DEFINITION", "pkg.block.Block", block, 12, "", None),
        ("DEFINITION", "pkg.block.accimage", block, 5, "pkg.block.Block", None),
        ("DEFINITION", "pkg.block.scale", block, 10, "pkg.block.Block", None),
        ("DEFINITION", "pkg.other.scale", other, 3, "pkg.block.Block", None),
        ("RENAME", "pkg.other.scale", other, 3, "pkg.block.Block", None),
        ("DEFINITION", "pkg.other.TABLE", other, 1, "pkg.other.scale", None),
        ("STATEMENT", "pkg.other.TABLE", other, 2, "pkg.other.TABLE", None),
        ("STATEMENT", "pkg.other.TABLE", block, 9, "pkg.other.TABLE", "AMBIGUOUS"),
        ("IN_FUNCTION", "math.pi", other, 4, "pkg.other.scale", None),
        ("UNDER_GUARD", "accimage", block, 6, "pkg.block.accimage", "PACKAGE"),
        ("IMPORT", "torch.nn", block, 12, "pkg.block.Block", None),
        ("IN_FUNCTION", "cupy", block, 15, "pkg.block.Block", "PACKAGE"),
        ("IMPORT", "torch", block, 17, "pkg.block.Block", None),
        ("OPERATOR", "torch.ops.pkg.align", block, 17, "pkg.block.Block", "COMPILED"),
        ("UNRESOLVED", "missing", block, 17, "pkg.block.Block", "UNDEFINED"),
    ]
    assert found[4].detail == "scale_other" and found[0].file == "pkg/block.py"


@pytest.mark.parametrize(
    ("code", "name", "line", "why"),
    [
        ("from .base import Base\nclass Block(Base): ...\n", "PIL.Image", 2, "missing package"),
        ("from . import _C\nclass Block:\n    f = _C.op\n", "pkg._C", 3, "compiled"),
        ("from .base import No\nclass Block(No): ...\n", "pkg.base.No", 2, "never defined"),
        ("from . import base\nclass Block:\n    f = base\n", "module pkg.base", 3, "other"),
    ],
)
def test_a_refusal_says_where_a_name_is_needed_and_why_it_is_missing(
    code: str, name: str, line: int, why: str, tmp_path: Path
) -> None:
    base = "from PIL import Image\nclass Base(Image): ...\n"
    root = write_tree(tmp_path, {"pkg/a.py": code, "pkg/base.py": base})
    (one,) = extracted(root, "pkg.a.Block")
    assert (one.kind, one.name, one.failure) == (DecisionKind.REFUSAL, name, why)
    assert (one.line, one.source) == (line, tmp_path.name)
    assert one.module == ("pkg.base" if why == "missing package" else "pkg.a")


def test_ambiguous_names_and_modules(tmp_path: Path) -> None:
    files = {"pkg/a.py": "class Mlp: ...\n", "pkg/b.py": "class Mlp: ...\n"}
    one, two = write_tree(tmp_path / "one", files), write_tree(tmp_path / "two", files)
    (refused,) = extracted(one, "Mlp")
    assert (refused.failure, refused.detail) == (FailureClass.AMBIGUOUS, "is defined in 2 modules")
    (taken,) = extractor(one, two).extract("one:pkg.a.Mlp").decisions
    assert (taken.failure, taken.source) == (FailureClass.AMBIGUOUS, "one")
    assert taken.detail == "the module is in two, too"
    (unknown,) = extracted(one, "pkg.a.Mpl")
    assert (unknown.failure, unknown.detail) == (FailureClass.OTHER, "no such class")


def test_a_wrong_file_is_a_fault_of_the_extractor(tmp_path: Path) -> None:
    resolver = NameResolver(Library([from_folder(write_tree(tmp_path, FILES))]))
    closure = find_closure(resolver, LocalName("pkg.block", "Block"))
    order = order_statements(resolver, closure)
    names = assign_names(resolver, closure, order)
    for code, name, reason in (
        ("class Block(:\n", "<file>", "invalid syntax"),
        ("class Block:\n    x = shrink\n", "shrink", "not bound in the file"),
        ("import cupy\nclass Block: ...\n", "cupy", "imported at the top"),
        ("class Other: ...\n", "Block", "not defined in the file"),
    ):
        found = decisions_of(resolver, closure, order, names, check(code, "Block"))
        (fault,) = (one for one in found if one.kind is DecisionKind.FAULT)
        assert (fault.name, fault.failure) == (name, FailureClass.GENERATION)
        assert reason in fault.detail and (fault.module, fault.line) == ("pkg.block", 12)


def test_import_errors_are_classed() -> None:
    missing = import_fault("pkg:a.B", "build: ModuleNotFoundError: No module named 'PIL.Image'")
    assert (missing.name, missing.failure) == ("PIL.Image", FailureClass.PACKAGE)
    named = import_fault("pkg:a.B", "build: NameError: name 'x' is not defined")
    assert (named.name, named.failure) == ("pkg:a.B", FailureClass.GENERATION)
    assert import_fault("pkg:a.B", "build: KeyError: 'x'").failure is FailureClass.OTHER


def test_counts_are_of_decisions_and_of_blocks(tmp_path: Path) -> None:
    root = write_tree(tmp_path, FILES)
    targets = ("pkg.block.Block", "pkg.block.scale", "pkg.block.Blok")
    audits = {target: extracted(root, target) for target in targets}
    kinds = by_kind(audits)
    assert next(iter(kinds)) is DecisionKind.DEFINITION
    taken = kinds[DecisionKind.DEFINITION]
    assert (taken.decisions, taken.blocks, taken.names[0]) == (6, 2, "pkg.block.scale")
    failures = by_failure(audits)
    package = failures[FailureClass.PACKAGE, DecisionKind.IN_FUNCTION]
    assert (package.decisions, package.blocks, package.names) == (1, 1, ("cupy",))
    assert failures[FailureClass.OTHER, DecisionKind.REFUSAL].names == ("pkg.block.Blok",)
