"""`nngpt evaluate` on files with odd names and odd text."""

from __future__ import annotations

from pathlib import Path

from command_line import ROOT, Nngpt

SETTINGS = (
    "task.train_limit=500",
    "task.validation_limit=100",
    "evaluation.hyperparameters={lr: 0.01, momentum: 0.9, dropout: 0.1}",
)


def test_file_with_a_fence_inside_and_brackets_in_its_name(nngpt: Nngpt, tmp_path: Path) -> None:
    code = (ROOT / "tests" / "networks" / "plain.py").read_text()
    fenced = f'"""A network.\n\n```\nx = net(x)\n```\n"""\n\n{code}'
    (tmp_path / "mine[b].py").write_text(fenced)
    (tmp_path / "text.py").write_text("```\n")
    done = nngpt(
        "evaluate", "mine[b].py", "text.py", *(part for s in SETTINGS for part in ("--set", s))
    )
    assert done.returncode == 1, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("mine[b].py: accuracy ")
    assert second == "text.py: refused at parse: the code is not valid Python"
