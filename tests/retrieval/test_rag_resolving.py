"""What an extraction follows: each feature in a small tree, run and compared with the original."""

from __future__ import annotations

from pathlib import Path

import pytest
from retrieval.rag_trees import extract, load, original

CASES = {
    "relative import": {
        "pkg/a.py": "from .b import helper\nclass Block:\n    value = helper(2)\n",
        "pkg/b.py": "FACTOR = 3\ndef helper(x):\n    return x * FACTOR\n",
    },
    "import from two levels up": {
        "pkg/sub/c.py": "from ..b import K\n",
        "pkg/a.py": "from .sub.c import K\nclass Block:\n    value = K\n",
        "pkg/b.py": "K = 5\n",
    },
    "absolute import of a module, read by its attributes": {
        "pkg/a.py": "import pkg.sub.b\nclass Block:\n    value = pkg.sub.b.f(1)\n",
        "pkg/sub/b.py": "def f(x):\n    return x + g()\ndef g():\n    return 4\n",
    },
    "module alias": {
        "pkg/a.py": "import pkg.b as c\nclass Block:\n    value = c.D.e\n",
        "pkg/b.py": "class D:\n    e = 7\n",
    },
    "renamed import": {
        "pkg/a.py": "from .b import f as g\nclass Block:\n    value = g(1)\n",
        "pkg/b.py": "def f(x):\n    return x - 1\n",
    },
    "star import": {
        "pkg/a.py": "from .b import *\nclass Block:\n    value = f(1)\n",
        "pkg/b.py": "__all__ = ['f']\ndef f(x):\n    return _g(x)\ndef _g(x):\n    return -x\n",
    },
    "re-export through __init__": {
        "pkg/__init__.py": "from .inner import f\n",
        "pkg/inner/__init__.py": "from .deep import *\n",
        "pkg/inner/deep.py": "def f():\n    return 'deep'\n",
        "pkg/a.py": "from pkg import f\nclass Block:\n    value = f()\n",
    },
    "two things of one name": {
        "pkg/a.py": """
            from .b import make
            def helper(x):
                return ("a", x)
            class Block:
                value = helper(make(1))
        """,
        "pkg/b.py": "def helper(x):\n    return ('b', x)\ndef make(x):\n    return helper(x)\n",
    },
    "a renamed name that a local variable would hide": {
        "pkg/a.py": """
            from .b import f as g
            class Block:
                @staticmethod
                def run(f):
                    return g(f)
                value = None
            Block.value = Block.run(3)
        """,
        "pkg/b.py": "def f(x):\n    return x * 2\n",
    },
    "a circle of functions": {
        "pkg/a.py": "from . import b\ndef even(n):\n    return n == 0 or b.odd(n - 1)\n"
        "class Block:\n    value = property(lambda self: even(10))\n    value = 1\n",
        "pkg/b.py": "from . import a\ndef odd(n):\n    return n != 0 and a.even(n - 1)\n",
    },
    "a function called at import time whose globals come later": {
        "pkg/a.py": """
            from .b import build
            class Block:
                value = build()
        """,
        "pkg/b.py": """
            def build():
                return TABLE[KEY]
            KEY = "k"
            TABLE = {KEY: 9}
        """,
    },
    "decorators, defaults and partial": {
        "pkg/a.py": """
            from functools import partial
            DEFAULT = 4
            def twice(f):
                return lambda *a: 2 * f(*a)
            @twice
            def f(x, y=DEFAULT):
                return x + y
            g = partial(f, 1)
            class Block:
                value = g()
        """,
    },
    "a registry that the decorator fills": {
        "pkg/registry.py": """
            REGISTRY = {}
            def register(cls):
                REGISTRY[cls.__name__] = cls
                return cls
        """,
        "pkg/a.py": """
            from .registry import register, REGISTRY
            @register
            class Block:
                size = 3
            Block.value = REGISTRY["Block"].size
        """,
    },
    "statements that change what they name": {
        "pkg/a.py": """
            TABLE = {}
            TABLE["a"] = 1
            TABLE.update(b=2)
            for name in ("c", "d"):
                TABLE[name] = len(name)
            def method(self):
                return 1
            class Block:
                value = sorted(TABLE.items())
            Block.method = method
            setattr(Block, "extra", 5)
        """,
    },
    "try and except around an import": {
        "pkg/a.py": """
            try:
                from a_package_that_is_not_there import thing
                HAVE = True
            except ImportError:
                thing = None
                HAVE = False
            class Block:
                value = (thing, HAVE)
        """,
    },
    "a submodule under a guard, read by its attributes": {
        "pkg/a.py": """
            try:
                import a_package_that_is_not_there.inner
                import xml.dom.minidom
                HAVE = True
            except ImportError:
                HAVE = False
            try:
                import xml.etree.ElementTree
            except ImportError:
                pass
            def load():
                if HAVE:
                    return a_package_that_is_not_there.inner.load()
                return xml.etree.ElementTree.__name__
            class Block:
                value = load()
        """,
    },
    "a choice at module level": {
        "pkg/a.py": """
            import sys
            if sys.version_info >= (3, 8):
                from .new import f
            else:
                from .old import f
            class Block:
                value = f()
        """,
        "pkg/new.py": "def f():\n    return 'new'\n",
        "pkg/old.py": "def f():\n    return 'old'\n",
    },
    "a package that imports its own submodules by name": {
        "pkg/__init__.py": "from pkg import b, sub\nfrom . import a\n",
        "pkg/a.py": "from pkg import b, sub\nclass Block:\n    value = b.K, sub.c.f()\n",
        "pkg/b.py": "K = 3\n",
        "pkg/sub/__init__.py": "from pkg.sub import c\n",
        "pkg/sub/c.py": "def f():\n    return 4\n",
    },
    "type checking only": {
        "pkg/a.py": """
            from __future__ import annotations
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                import numpy as np
                from .b import Other
            class Block:
                def f(self, x: np.ndarray) -> Other: ...
                value = 1
        """,
        "pkg/b.py": "import numpy\nclass Other(numpy.ndarray): ...\n",
    },
    "a third-party annotation": {
        "pkg/a.py": """
            import something_foreign as sf
            class Block:
                def f(self, x: sf.Array = None): ...
                value = 1
        """,
        "something_foreign.py": "class Array: ...\n",
    },
    "an import inside a function": {
        "pkg/a.py": """
            def late():
                from .b import K, f as g
                return g(K)
            class Block:
                value = late()
        """,
        "pkg/b.py": "K = 2\ndef f(x):\n    return x, K\n",
    },
    "a dataclass as configuration": {
        "pkg/a.py": """
            from dataclasses import dataclass, field
            @dataclass
            class Config:
                dim: int = 3
                more: list[int] = field(default_factory=lambda: [SIZE])
            SIZE = 8
            class Block:
                value = Config().more + [Config.dim]
        """,
    },
    "global, walrus, match, comprehension and f-string": {
        "pkg/b.py": "STEP = 2\nCOUNT = 0\n",
        "pkg/a.py": """
            from .b import STEP
            COUNT = 10
            def step():
                global COUNT
                COUNT += STEP
                return COUNT
            def kind(x):
                match x:
                    case {"size": size, **rest} if (n := size):
                        return [n + STEP for STEP in range(2)], rest, f"{STEP}{COUNT:>4}"
                    case [first, *others]:
                        return first, others
            class Block:
                value = step(), kind({"size": 1, "z": 2}), kind([1, 2, 3])
        """,
    },
    "super and __class__": {
        "pkg/b.py": "class Base:\n    def f(self):\n        return 'base'\n",
        "pkg/a.py": """
            from . import b
            class Base(b.Base):
                def f(self):
                    return super().f() + __class__.__name__
            class Block(Base):
                value = Base().f()
        """,
    },
    "text that is not ASCII before a renamed name": {
        "pkg/a.py": "from .b import f as g\nclass Block:\n    value = 'größe — ß', g('é')\n",
        "pkg/b.py": "def f(x):\n    return x, 'ü'\n",
    },
    "several statements on a line": {
        "pkg/a.py": "A = 1; B = A + 1; C = 'unused'\nclass Block: value = B\n",
    },
    "assignments of many kinds": {
        "pkg/a.py": """
            (a, [b, *c]), d = (1, [2, 3, 4]), 5
            d += 1
            e: int = d
            with open(__file__) as handle:
                first = handle.readline()
            class Block:
                value = a, b, c, d, e
        """,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_an_extracted_class_behaves_like_the_original(case: str, tmp_path: Path) -> None:
    extraction = extract(tmp_path, CASES[case], "pkg.a.Block")
    expected = original(tmp_path, "pkg.a.Block.value", "pkg.a")
    assert str(load(extraction).Block.value) == expected, extraction.code


def test_classes_that_a_constructor_takes_are_named(tmp_path: Path) -> None:
    blocks = "import torch.nn as nn\nclass Basic(nn.Module): pass\nclass Used(nn.Module): pass\n"
    net = """
        from typing import Union
        import torch.nn as nn
        from .blocks import Basic, Used
        class Wide(nn.Module): pass
        class Net(nn.Module):
            def __init__(self, block: type[Union[Basic, "Wide"]], other: "Wide", norm: nn.Module,
                         used: Used, width: int, last: Basic = None):
                super().__init__()
                self.one = Used()
    """
    files = {"lib/blocks.py": blocks, "lib/net.py": net}
    found = extract(tmp_path, files, "lib.net.Net")
    assert found.arguments == {"block": ("lib.blocks.Basic",), "other": ("lib.net.Wide",)}
    assert found.facts()["arguments"] == found.arguments


def test_only_needed_statements_are_extracted(tmp_path: Path) -> None:
    code = (
        "import os\nimport math\nUNUSED = 1\ndef unused(): ...\nclass Block:\n    value = math.pi\n"
    )
    extraction = extract(tmp_path, {"pkg/a.py": code}, "pkg.a.Block")
    assert "unused" not in extraction.code.lower() and "import os" not in extraction.code
    assert extraction.inlined == ("pkg.a.Block",)


def test_comments_and_format_are_kept(tmp_path: Path) -> None:
    block = "# Why: because.\nclass Block( object ):  # yes\n    value = { 1 :2 }   # odd\n"
    extraction = extract(tmp_path, {"pkg/a.py": f"import os\n\n{block}"}, "pkg.a.Block")
    assert block in extraction.code


def test_a_guarded_internal_import_with_foreign_needs_stays_guarded(tmp_path: Path) -> None:
    files = {
        "pkg/a.py": """
            try:
                from .fast import f
            except ImportError:
                f = None
            class Block:
                value = f
        """,
        "pkg/fast.py": "import cupy\nclass C(cupy.thing): ...\ndef f(x=C): ...\n",
    }
    assert load(extract(tmp_path, files, "pkg.a.Block")).Block.value is None
