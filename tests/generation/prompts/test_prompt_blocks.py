"""Library blocks in prompts: selection, use by name, credit, and storage."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest
from network_training import train_one_batch
from quick_runs import quick_run, write_answers

from nngpt import config
from nngpt.cli.cycle import show
from nngpt.config import EvaluationConfig, PromptConfig
from nngpt.errors import ConfigError
from nngpt.generation import contract
from nngpt.generation.prompts import template as prompts
from nngpt.generation.prompts.blocks import find_blocks, indexed_blocks, sample_blocks
from nngpt.records import Candidate, Refusal, ShownBlock, Task
from nngpt.retrieval import index_writer
from nngpt.retrieval.sources import open_source
from nngpt.store import Store
from nngpt.store.database import open_database

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.5)
TREE = {
    "gates": '''
import torch
from torch import nn
from .parts import scale

class Gate(nn.Module):
    """Gates channels by their mean: attention over channels."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return scale(x, torch.sigmoid(self.weight(x.mean(dim=(2, 3), keepdim=True))))
''',
    "parts": "def scale(x, by):\n    return x * by\n",
    "twice": '''
from torch import nn

def scale(x):
    return 2 * x

class Twice(nn.Module):
    """Attention that doubles."""

    def forward(self, x):
        return scale(x)
''',
    "reading": '''
from torch import nn

class Reading(nn.Module):
    """Attention that reads a file."""

    def forward(self, x):
        return open("/etc/passwd").read()
''',
}
ANSWER = "4, 3, padding=1),\n    nn.ReLU(),\n    Gate(4),\n    nn.MaxPool2d(2),\n)"


def indexed(folder: Path, licence: str = "MIT License\n") -> Path:
    """Make a database in `folder` with the tree as an indexed source."""
    package = folder / "tree" / "blocks"
    package.mkdir(parents=True)
    (folder / "tree" / "LICENSE").write_text(licence)
    (package / "__init__.py").touch()
    for name, text in TREE.items():
        (package / f"{name}.py").write_text(text)
    (folder / "runs").mkdir()
    database = open_database(folder / "runs" / "nngpt.db", create=True)
    index_writer.add_source(database, open_source(str(folder / "tree")), "tree")
    return folder / "runs" / "nngpt.db"


def found(path: Path, **settings: object) -> list[ShownBlock]:
    given = {"retrieve": 2, "retrieve_for": "attention over channels", **settings}
    return find_blocks(open_database(path, create=False), PromptConfig.model_validate(given))


def test_unsafe_and_copyleft_blocks_are_never_shown(tmp_path: Path) -> None:
    path = indexed(tmp_path)
    blocks = found(path)
    assert [block.name for block in blocks] == ["Gate", "Twice"], "Reading opens a file"
    gate = blocks[0]
    assert (gate.target, gate.licence) == ("tree:blocks.gates.Gate", "MIT")
    assert "def scale(x, by)" in gate.code and len(gate.sha256) == 64
    with pytest.raises(ConfigError, match="1 of 3 indexed blocks suit"):
        found(path, retrieve_chars=len(blocks[1].code))
    other = tmp_path / "other"
    other.mkdir()
    path = indexed(other, "GNU GENERAL PUBLIC LICENSE Version 3\n")
    with pytest.raises(ConfigError, match="0 of 0 indexed blocks suit"):
        found(path)
    assert [b.licence for b in found(path, retrieve_copyleft=True)] == 2 * ["GPL-3.0-only"]


def test_blocks_with_conflicting_definitions_are_not_sampled_together(tmp_path: Path) -> None:
    pool = found(indexed(tmp_path))
    drawn = [sample_blocks(pool, 2, seed) for seed in range(8)]
    assert all(len(blocks) == 1 for blocks in drawn), "both define another scale()"
    assert {blocks[0].name for blocks in drawn} == {"Gate", "Twice"}
    assert drawn == [sample_blocks(pool, 2, seed) for seed in range(8)]


@pytest.mark.parametrize("mode", ["features", "body"])
def test_an_answer_uses_a_shown_block_by_name(mode: str, tmp_path: Path) -> None:
    gate = found(indexed(tmp_path))[0]
    template = prompts.load(mode)
    prompt = template.render(TASK, {}, blocks=[gate])
    asked = prompt.messages[-1].content
    assert asked.startswith("These blocks are defined already:") and "class Gate" in asked
    assert "# Source" not in asked, "the model need not read where it is from"
    text = ANSWER
    if mode == "body":
        text = (
            "class Net(nn.Module):\n"
            "    def __init__(self, in_shape, out_shape, prm, device):\n"
            "        super().__init__()\n"
            "        self.device = device\n"
            "        self.gate = Gate(in_shape[1])\n"
            "        self.head = nn.LazyLinear(out_shape[0])\n\n"
            "    def forward(self, x):\n"
            "        return self.head(self.gate(x).flatten(1))\n```"
        )
    defaults = contract.Defaults.of(
        EvaluationConfig(hyperparameters={"lr": 0.1, "momentum": 0.9, "dropout": 0.1})
    )
    read = contract.read(text, prompt, TASK, template, defaults)
    assert isinstance(read, Candidate), read
    assert "# Source: tree:blocks.gates.Gate" in read.code, "the candidate says where it is from"
    names = [n.name for n in ast.parse(read.code).body if isinstance(n, ast.ClassDef)]
    assert names == ["Gate", "Net"]
    assert contract.read(read.written, prompt, TASK, template, defaults) == read
    bare = contract.read(text, replace(prompt, blocks=()), TASK, template, defaults)
    assert isinstance(bare, Refusal) or "class Gate" not in bare.code


def test_blocks_that_a_whole_file_copies_are_credited(tmp_path: Path) -> None:
    gate = found(indexed(tmp_path))[0]
    template = prompts.load("full")
    prompt = template.render(TASK, {}, blocks=[gate])
    assert prompt.messages[-1].content.startswith("Blocks that you may copy:")
    code = (Path(__file__).parents[2] / "networks" / "plain.py").read_text()
    defaults = contract.Defaults.of(
        EvaluationConfig(hyperparameters={"lr": 0.1, "momentum": 0.9, "dropout": 0.1})
    )
    for text, first in (
        (code, "import torch"),
        (code + TREE["gates"].replace("from .parts import scale", ""), "# Gate was shown: tree:"),
    ):
        read = contract.read(f"```python\n{text}```", prompt, TASK, template, defaults)
        assert isinstance(read, Candidate) and read.code.startswith(first)
        assert contract.read(read.written, prompt, TASK, template, defaults) == read


def test_a_run_shows_blocks_and_stores_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = indexed(tmp_path)
    write_answers(tmp_path, [ANSWER])
    retrieval = ["prompt.retrieve=1", "prompt.retrieve_for=gates channels mean"]
    sizes = ["prompt.retrieve_chars=900", "candidates.per_cycle=6", "llm.batch_size=1"]
    quick_run(tmp_path, 1, *retrieval, *sizes)
    with Store.open(path, create=False) as store:
        attempts = store.attempts(1, with_code=True)
        shown = {block.name for a in attempts for block in store.question(a).blocks}
        assert shown and shown <= {"Gate", "Twice"}
        trained = [a for a in attempts if a.evaluation is not None]
        assert trained, [a.refusal for a in attempts]
        (block,) = store.question(trained[0]).blocks
    assert (block.target, block.licence) == ("tree:blocks.gates.Gate", "MIT")
    candidate = trained[0].candidate
    assert candidate is not None and block.target in candidate.code
    train_one_batch(candidate, (1, 1, 28, 28))
    capsys.readouterr()
    show(trained[0].id, path.parent)
    text = capsys.readouterr().out
    assert "tree:blocks.gates.Gate" in text and "MIT" in text


def test_without_an_index_the_hint_names_the_command(tmp_path: Path) -> None:
    settings = config.load("smoke-mnist", ["prompt.retrieve=1", f"folder={tmp_path}"])
    with pytest.raises(ConfigError, match="Index some: nngpt rag index torchvision --folder /"):
        indexed_blocks(settings)
