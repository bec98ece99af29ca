"""`nngpt evaluate` on files of all kinds, with an executor that trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from command_line import ROOT, Nngpt

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
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("mine[b].py: accuracy ") and " after 2 epochs on cpu, " in first
    assert second == "text.py: refused at parse: the code is not valid Python"
    assert third == "    line 1: invalid syntax: ```"


def test_an_ordinary_network_and_one_with_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    net = "    def __init__(self, num_classes, dropout): ...\n    def forward(self, x): ...\n"
    ordinary = "from torch import nn\nclass Mine(nn.Module):\n" + net
    Path("mine.py").write_text(ordinary)
    Path("faulty.py").write_text(f"{ordinary.replace('Mine', 'Net')}    def learn(self): ...\n")
    settings = [*SETTINGS[:-1], "evaluation.hyperparameters={lr: 0.01, momentum: 0.9}"]
    with pytest.raises(typer.Exit):
        evaluate([Path("mine.py"), Path("faulty.py")], overrides=settings)
    lines = capsys.readouterr().out.splitlines()
    built = "Mine(num_classes=out_shape[0], dropout=prm['dropout'])"
    assert lines[0] == f"mine.py: {built}, trained with nngpt's own loop"
    assert lines[1].startswith("mine.py: dropout = 0.2, LEMUR's usual value")
    assert lines[2].startswith("mine.py: accuracy ")
    assert (
        lines[3]
        == "faulty.py: refused at contract: 4 faults against the contract (docs/contract.md)"
    )
    assert lines[4] == "    there is no function supported_hyperparameters()"
    assert lines[5].startswith(
        "    line 3: Net.__init__(self, num_classes, dropout) cannot be called"
    )
    assert len(lines) == 8


def test_generate_prints_why_a_network_is_refused(scripted: list[str], call_nngpt: Nngpt) -> None:
    done = call_nngpt("generate", "smoke-mnist", "--count", 6, *scripted)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    at = lines.index("network 6 refused at parse: the answer is cut off: its code never ends")
    assert lines[at + 1].startswith("    line 1: '(' was never closed")
