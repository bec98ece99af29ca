"""`import nngpt`: what it offers, and that it costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT

import nngpt

NAMES = {
    *("AskTell", "Asked", "AttemptRow", "Duplicate", "ExecutionError", "Extraction", "Found"),
    *("Network", "search", "NngptError", "Novelty", "Run", "Trained", "UserError", "__version__"),
    *("PredictedValue", "Prediction", "Proposal", "duplicates", "evaluate", "extract"),
    *("hyperparameters", "novelty", "predict"),
}
LIGHT = """
import sys
before = set(sys.modules)
import nngpt
print(*sorted(name.partition(".")[0] for name in set(sys.modules) - before))
"""


def test_the_public_names() -> None:
    assert set(nngpt.__all__) == NAMES
    for name in NAMES:
        assert getattr(nngpt, name).__doc__
    assert set(dir(nngpt)) >= NAMES
    with pytest.raises(AttributeError, match="has no attribute 'Rum'"):
        getattr(nngpt, "Rum")  # noqa: B009
    assert (Path(nngpt.__file__).parent / "py.typed").is_file()


def test_importing_loads_nothing_but_the_standard_library() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) <= {"nngpt", *sys.stdlib_module_names}


def test_errors_are_those_of_nngpt() -> None:
    assert issubclass(nngpt.UserError, nngpt.NngptError)
    assert issubclass(nngpt.ExecutionError, nngpt.NngptError)
