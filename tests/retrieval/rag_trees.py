"""Small source trees, and extraction from them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import types
from collections.abc import Mapping
from pathlib import Path

from nngpt.retrieval.extractor import Extraction, Extractor
from nngpt.retrieval.library import Library
from nngpt.retrieval.sources import from_folder
from nngpt.retrieval.static_check import check


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below `root`; texts are dedented, and packages get an `__init__.py`."""
    for name, code in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code), encoding="utf-8")
        for folder in path.relative_to(root).parents:
            init = root / folder / "__init__.py"
            if folder != Path() and not init.exists():
                init.write_text("")
    return root


def extractor(*roots: Path) -> Extractor:
    """Return an extractor over several folders."""
    return Extractor(Library([from_folder(root) for root in roots]))


def extract(root: Path, files: Mapping[str, str], target: str) -> Extraction:
    """Write a tree and extract one class from it."""
    return extractor(write_tree(root, files)).extract(target)


def load(extraction: Extraction) -> types.ModuleType:
    """Load the extracted file, which must be closed, as a module."""
    verdict = check(extraction.code, extraction.name)
    assert verdict.closed, f"{verdict}\n{extraction.code}"
    module = types.ModuleType("extracted")
    sys.modules["extracted"] = module
    try:
        exec(compile(extraction.code, "extracted.py", "exec"), vars(module))
    finally:
        del sys.modules["extracted"]
    return module


def original(root: Path, expression: str, modules: str) -> str:
    """Return the value of an expression in a process that imports the original tree."""
    code = f"import {modules}\nprint({expression})"
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
