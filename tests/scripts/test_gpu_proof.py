"""`scripts/gpu-proof`: a part that takes too long is ended, and what was found is kept."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
from gpu_proof import __main__ as proof
from gpu_proof.networks import LEVELS, answers
from gpu_proof.parts import PARTS
from gpu_proof.without import LAYERS

from nngpt.sandbox import containment


def test_a_part_that_takes_too_long_is_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "gpu-proof.md"
    table.write_text(proof.HEAD)
    given = Namespace(device="cpu", work=tmp_path, candidates=1, images=100)
    assert proof._part(given, "doctor", "full", 0.2, table) == []
    assert "| doctor | **ended after 0 s: its time was over** |" in table.read_text()
    assert "its time was over" in capfd.readouterr().out


def test_rows_are_one_line_of_two_cells() -> None:
    assert proof._row("a | b", "two\nlines") == "| a / b | two lines |"


def test_parts_name_what_exists() -> None:
    assert set(LAYERS) < {layer.name for layer in containment.layers()}
    assert {f"level-{level}" for level in LEVELS} < set(PARTS)
    assert answers(5) == answers(5)
    assert len(set(answers(64))) == 64
