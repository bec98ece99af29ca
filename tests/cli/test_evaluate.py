"""`nngpt evaluate` on files with unusual names and text, with an executor that trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from command_line import ROOT

from nngpt.cli.networks import evaluate

SETTINGS = [
    "task.train_limit=500",
    "task.validation_limit=100",
    "evaluation.executor=crash.instant_executor",
    "evaluation.hyperparameters={lr: 0.01, momentum: 0.9, dropout: 0.1}",
]


def test_file_with_a_fence_inside_and_brackets_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = (ROOT / "tests" / "networks" / "plain.py").read_text()
    fenced = f'"""A network.\n\n```\nx = net(x)\n```\n"""\n\n{code}'
    Path("mine[b].py").write_text(fenced)
    Path("text.py").write_text("```\n")
    with pytest.raises(typer.Exit) as ended:
        evaluate([Path("mine[b].py"), Path("text.py")], overrides=SETTINGS)
    assert ended.value.exit_code == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("mine[b].py: accuracy ") and " after 2 epochs on cpu, " in first
    assert second == "text.py: refused at parse: the code is not valid Python"
