"""What docs/images.md shows runs, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command_line import ROOT, Nngpt

PAGE = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_shows(
    call_nngpt: Nngpt, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (draw,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(draw, "draw_shapes.py", "exec"), {})
    checked = call_nngpt("data", "check", "shapes")
    assert checked.returncode == 0, checked.stderr
    printed = [line.strip() for line in checked.stdout.splitlines() if line.strip()]
    assert printed == [
        line.strip().replace("folder:     shapes", f"folder:     {tmp_path / 'shapes'}")
        for line in shown.splitlines()
    ]
    pulled = call_nngpt("data", "pull", "./shapes")
    assert "3×32×32, 2 classes: circle, square" in pulled.stdout
