"""What an extraction refuses, defers or cannot find, reported by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from retrieval.rag_trees import extract, extractor, load, write_tree

from nngpt.errors import UserError
from nngpt.retrieval.closure import ExtractionRefused
from nngpt.retrieval.static_check import BeyondTorch, check


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import cupy\nclass Block(cupy.Base): ...\n", "cupy"),
        ("from cupy.nn import Base\nclass Block(Base): ...\n", "cupy.nn.Base"),
        ("import cupy as cp\nPI = cp.pi\nclass Block:\n    x = PI\n", "cupy"),
        ("import cupy\n@cupy.jit\nclass Block: ...\n", "cupy"),
        ("import cupy\nclass Block:\n    def f(self, x=cupy.zeros(1)): ...\n", "cupy"),
        ("from . import _C\nclass Block:\n    op = _C.op\n", "pkg._C"),
        ("from ._C import op\nclass Block:\n    op = op\n", "pkg._C.op"),
    ],
)
def test_import_time_needs_are_refused_by_name(code: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ExtractionRefused, match="is imported") as refused:
        extract(tmp_path, {"pkg/a.py": code}, "pkg.a.Block")
    assert refused.value.names == (name,)


def test_needs_of_a_function_are_imported_and_fail_there(tmp_path: Path) -> None:
    code = """
        import cupy as cp
        from cupy.linalg import norm
        from . import _C
        class Block:
            def safe(self, x):
                return x if isinstance(x, int) or cp.check(x) else norm(x)
            def compiled(self):
                return _C.op(1)
            def text(self):
                return f"{cp.name}"
    """
    extraction = extract(tmp_path, {"pkg/a.py": code}, "pkg.a.Block")
    assert extraction.lazily == ("cupy", "cupy.linalg.norm", "pkg._C")
    block = load(extraction).Block()
    assert block.safe(1) == 1
    for call in (lambda: block.safe("x"), block.compiled, block.text):
        with pytest.raises(ModuleNotFoundError):
            call()


def test_a_second_source_resolves_missing_names(tmp_path: Path) -> None:
    one = write_tree(tmp_path / "one", {"a.py": "from two.b import Base\nclass Block(Base): ...\n"})
    two = write_tree(tmp_path / "two", {"two/b.py": "class Base:\n    value = 2\n"})
    with pytest.raises(ExtractionRefused, match=r"two\.b\.Base"):
        extractor(one).extract("a.Block")
    assert load(extractor(one, two).extract("one:a.Block")).Block.value == 2


def test_an_unknown_class_suggests_similar_names(tmp_path: Path) -> None:
    known = extractor(write_tree(tmp_path, {"pkg/a.py": "class Attention: ...\n"}))
    with pytest.raises(UserError, match=r"no such class\. Nearest: pkg\.a\.Attention"):
        known.extract("pkg.a.Atention")
    with pytest.raises(UserError, match=r"Nearest: pkg\.a\.Attention"):
        known.extract("Atention")
    with pytest.raises(UserError, match="is not indexed"):
        known.extract("other:pkg.a.Attention")


def test_a_bare_name_must_be_unique(tmp_path: Path) -> None:
    files = {"pkg/a.py": "class Mlp: ...\nclass Only: ...\n", "pkg/b.py": "class Mlp: ...\n"}
    known = extractor(write_tree(tmp_path, files))
    assert known.extract("Only").target.endswith(":pkg.a.Only")
    with pytest.raises(UserError, match=r"2 modules\. Choose one: pkg\.a\.Mlp, pkg\.b\.Mlp"):
        known.extract("Mlp")


def test_a_broken_module_is_reported_and_others_work(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"pkg/good.py": "class Good: ...\n", "pkg/bad.py": "class Bad(:\n"})
    (root / "pkg/bytes.py").write_bytes(b"x = '\xff'\nclass Bytes: ...\n")
    known = extractor(root)
    assert known.extract("Good").name == "Good"
    with pytest.raises(UserError, match="does not parse"):
        known.extract("pkg.bad.Bad")
    with pytest.raises(UserError, match="does not parse"):
        known.extract("pkg.bytes.Bytes")
    assert [b.file.path for b in known.library.broken()] == ["pkg/bad.py", "pkg/bytes.py"]


def test_the_static_check_finds_open_names() -> None:
    code = "import numpy\nfrom x import y\nclass A:\n    def f(self):\n        return missing\n"
    verdict = check(code, "B")
    assert verdict.parses and not verdict.closed
    assert verdict.undefined == ("missing",) and verdict.imported == ("numpy", "x")
    assert verdict.missing == "B"
    assert not check("class A(:\n", "A").parses
    assert check("class A:\n    x = __name__\n", "A").closed


def test_star_imports_of_missing_or_noisy_modules_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
        from torch.nn.no_such_module import *
        from this import *
        from torch.nn import *
        class Block(Module):
            layer = Linear
    """
    found = extract(tmp_path, {"pkg/a.py": code}, "pkg.a.Block")
    assert "from torch.nn import Linear, Module" in found.code
    assert "this" not in found.code and capsys.readouterr().out == ""


def test_a_class_with_too_many_dependencies_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nngpt.retrieval.closure.MOST", 20)
    lines = "".join(f"def f{n}():\n    return f{n + 1}()\n\n" for n in range(40))
    code = f"{lines}def f40():\n    return 1\n\nclass Block:\n    x = f0()\n"
    with pytest.raises(ExtractionRefused, match="needs more than 20 definitions"):
        extract(tmp_path, {"pkg/a.py": code}, "pkg.a.Block")
    assert extract(tmp_path, {"pkg/b.py": "class Block: ...\n"}, "pkg.b.Block").name == "Block"


def test_compiled_operators_and_guarded_imports_are_told(tmp_path: Path) -> None:
    files = {
        "pkg/block.py": """
            import torch
            from torch import nn
            try:
                import accimage
            except ImportError:
                accimage = None
            if accimage is not None:
                FAST = True
            def align(x):
                if accimage is None:
                    return x
                return torch.ops.pkg.align(x)
            class B(nn.Module):
                def forward(self, x):
                    return torch.ops.aten.relu(align(x))
        """
    }
    root = write_tree(tmp_path, files)
    found = extractor(root).extract("pkg.block.B")
    assert found.checked.beyond == BeyondTorch(("accimage",), ("torch.ops.pkg.align",))
    head = found.code.partition("\n\n")[0]
    assert "accimage" in head and "#   torch.ops.pkg.align" in head and "aten" not in head
    assert check(found.code, "B").closed
    told = extractor(root).needs("pkg.block.B")
    assert told == "compiled torch.ops.pkg.align; in parts accimage"


def test_a_block_says_before_its_extraction_that_it_is_refused(tmp_path: Path) -> None:
    files = {
        "pkg/block.py": """
            from PIL import Image
            from torch import nn
            class B(nn.Module):
                kind = Image.Image
            class C(nn.Module):
                pass
        """
    }
    found = extractor(write_tree(tmp_path, files))
    assert found.needs("pkg.block.B").startswith("cannot be extracted: needs PIL")
    assert found.needs("pkg.block.C") == ""
