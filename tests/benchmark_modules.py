"""Load a benchmark as a module, and run its command line in this process."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a benchmark; during the test its folder is where modules are found."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def run(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    """Run a benchmark as with these words on its command line."""
    monkeypatch.setattr(sys, "argv", [f"{benchmark.__name__}.py", *map(str, words)])
    benchmark.main()
