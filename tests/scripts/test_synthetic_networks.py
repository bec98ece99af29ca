"""Corpora of synthetic networks: converted and recombined lines fit the contract and repeat."""

from __future__ import annotations

import ast
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_networks import __main__ as command
from synthetic_networks.bodies import write_body
from synthetic_networks.convert import Conversion, convert_corpus
from synthetic_networks.map_size import last_map_side
from synthetic_networks.recombine import recombine_lists
from torch import nn

from nngpt.cli import main as nngpt_command
from nngpt.config import EvaluationConfig, NoveltyConfig
from nngpt.finetuning.corpus.layers import count_parameters
from nngpt.generation import contract
from nngpt.generation.contract.layer_list import read_layers
from nngpt.generation.prompts import template as prompts
from nngpt.novelty.measures.jaccard import JaccardMeasure
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.0, max_parameters=20_000)
DEFAULTS = contract.Defaults.of(EvaluationConfig())
LISTS = (
    ("nn.LazyConv2d(8, 3, padding=1)", "nn.ReLU()", "nn.MaxPool2d(2)"),
    ("nn.LazyConv2d(16, 5)", "nn.LazyBatchNorm2d()", "nn.ELU()", "nn.LazyConv2d(8, 1)", "nn.ELU()"),
    ("nn.LazyConv2d(12, 3, stride=2)", "nn.GELU()", "nn.LazyConv2d(24, 3)", "nn.AvgPool2d(2)"),
)


def write(folder: Path, lines: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        text = "".join(json.dumps(line) + "\n" for line in lines) if part == "train" else ""
        (folder / f"{part}.jsonl").write_text(text)
    return folder


def read(folder: Path, part: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{part}.jsonl").read_text().splitlines()]


def line(prompt: Prompt, completion: str, number: int) -> dict[str, Any]:
    return {
        "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "prefill": prompt.prefill,
        "completion": completion,
        "stop": list(prompt.stop),
        "mode": prompt.mode,
        "template": prompt.template,
        "template_hash": prompt.template_hash,
        "task": "mnist",
        "source": f"test {number}",
        "nn_id": f"{number}",
        "family": "test",
    }


BODY = '''class Net(nn.Module):
    """Says nothing."""

    def __init__(self, in_shape: tuple, out_shape: tuple, prm: dict, device) -> None:
        super().__init__()
        self.device = device  # kept
        self.layer = nn.Linear(in_shape[1] * in_shape[2] * in_shape[3], WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.flatten(x, 1))
'''


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    asked = prompts.load("body").render(TASK, DEFAULTS.hyperparameters)
    texts = [BODY.replace("WIDTH", width) for width in ("out_shape[0]", "10", "11")]
    lines = [line(asked, f"{text}```", number) for number, text in enumerate(texts)]
    return write(tmp_path / "bodies", lines)


@pytest.fixture
def layer_lists(tmp_path: Path) -> Path:
    asked = prompts.load("tuned-features").render(TASK, DEFAULTS.hyperparameters)
    texts = ["nn.Sequential(\n" + "".join(f"    {x},\n" for x in layers) + ")" for layers in LISTS]
    lines = [line(asked, t.removeprefix(asked.prefill), n) for n, t in enumerate(texts)]
    return write(tmp_path / "lists", lines)


def test_bodies_become_whole_files(bodies: Path, tmp_path: Path) -> None:
    body, full = prompts.load("body"), prompts.load("tuned-full")
    conversion = Conversion(body, full, {"mnist": TASK}, DEFAULTS, compact=True)

    def check(candidate: Candidate, dataset: str) -> Refusal | None:
        wrong = "11" in candidate.code
        return Refusal(Stage.FORWARD, "the output has another shape") if wrong else None

    pairs, excluded = convert_corpus(bodies, tmp_path / "full", conversion, check)
    assert pairs == 2
    assert dict(excluded) == {"does not run: forward: the output has another shape": 1}
    asked = full.render(TASK, DEFAULTS.hyperparameters)
    for made in read(tmp_path / "full"):
        assert (made["mode"], made["template"]) == ("full", "tuned-full")
        assert "Says nothing" not in made["completion"]
        found = contract.read(made["completion"], asked, TASK, full, DEFAULTS)
        assert isinstance(found, Candidate) and found.written == made["completion"]
        assert {"lr", "momentum"} <= found.hyperparameters.keys()


def test_a_conversion_chooses(bodies: Path, tmp_path: Path) -> None:
    body = prompts.load("body")
    short = prompts.load("tuned-body")
    conversion = Conversion(body, short, {"mnist": TASK}, DEFAULTS, compact=True)
    pairs, _ = convert_corpus(bodies, tmp_path / "some", conversion, limit=1, skip=1)
    assert pairs == 1 and read(tmp_path / "some")[0]["source"] == "test 1"
    strict = Conversion(body, short, {"mnist": TASK}, DEFAULTS, max_chars=20)
    assert convert_corpus(bodies, tmp_path / "none", strict)[1] == {"more than 20 characters": 3}


def test_children_are_new_fit_and_repeat(layer_lists: Path, tmp_path: Path) -> None:
    template = prompts.load("tuned-features")
    task = replace(TASK, max_parameters=100_000)
    arguments = (6, template, [task], DEFAULTS, 3)
    assert recombine_lists(layer_lists, tmp_path / "one", *arguments) == 6
    assert recombine_lists(layer_lists, tmp_path / "two", *arguments) == 6
    made = read(tmp_path / "one")
    assert made == read(tmp_path / "two")
    assert made[:3] == read(layer_lists)
    known = JaccardMeasure(NoveltyConfig())
    asked = template.render(TASK, DEFAULTS.hyperparameters)
    for number, each in enumerate(made):
        text = each["prefill"] + each["completion"]
        layers = read_layers(text)
        assert not isinstance(layers, Refusal)
        assert isinstance(
            contract.read(each["completion"], asked, TASK, template, DEFAULTS), Candidate
        )
        assert not known.compare(text).duplicate
        known.add(str(number), text)
        if number >= 3:
            trees = [ast.parse(layer, mode="eval").body for layer in layers]
            assert count_parameters(trees, 1, 10) <= 25_000
            assert last_map_side(layers, 28) >= 3


def test_children_as_bodies_run_and_differ(layer_lists: Path, tmp_path: Path) -> None:
    template, tasks = prompts.load("tuned-body"), [TASK, replace(TASK, dataset="cifar10")]
    arguments = (12, template, tasks, DEFAULTS, 4)
    assert recombine_lists(layer_lists, tmp_path / "one", *arguments) == 12
    assert recombine_lists(layer_lists, tmp_path / "two", *arguments) == 12
    made = read(tmp_path / "one")
    assert made == read(tmp_path / "two")
    assert read(tmp_path / "one", "dev") == []
    assert [each["task"] for each in made] == ["mnist", "cifar10"] * 6
    known = JaccardMeasure(NoveltyConfig())
    for number, each in enumerate(made):
        asked = template.render(tasks[number % 2], DEFAULTS.hyperparameters)
        assert each["prefill"] == asked.prefill and each["mode"] == "body"
        child = contract.read(each["completion"], asked, tasks[number % 2], template, DEFAULTS)
        assert isinstance(child, Candidate)
        assert not known.compare(contract.novelty_text(child)).duplicate
        known.add(str(number), contract.novelty_text(child))
        code: dict[str, Any] = {}
        exec(child.code, code)
        for shape in ((2, 1, 28, 28), (2, 3, 32, 32)):
            values = {"lr": 0.1, "momentum": 0.9, "dropout": 0.1}
            network = code["Net"](shape, (10,), values, torch.device("cpu"))
            assert network(torch.randn(shape)).shape == (2, 10)


def test_every_arrangement_of_a_body_runs() -> None:
    layers = (*LISTS[1], "nn.Dropout2d(p=0.1)", "nn.MaxPool2d(3, stride=2)", *LISTS[2])
    activations = ("nn.ReLU()", "nn.LeakyReLU()", "nn.Mish()")
    for seed in range(80):
        code: dict[str, Any] = {"nn": nn, "torch": torch, "F": nn.functional}
        exec(write_body(layers, activations, random.Random(seed)), code)
        network = code["Net"]((1, 3, 32, 32), (7,), {"dropout": 0.1}, torch.device("cpu"))
        assert network(torch.randn(2, 3, 32, 32)).shape == (2, 7), seed
        assert sum(isinstance(module, nn.MaxPool2d) for module in network.modules()) == 1, seed


@pytest.mark.parametrize(
    "layers",
    [
        ("nn.LazyConv2d(8, 9, stride=4, padding=2)", "nn.ReLU()", "nn.MaxPool2d(3, stride=2)"),
        ("nn.LazyConv2d(8, 3, dilation=2)", "nn.AvgPool2d(2)", "nn.LazyConv2d(8, 1, 2)"),
        ("nn.LazyConv2d(4, kernel_size=5, padding=3)", "nn.MaxPool2d(3, 3, 1)", "nn.Dropout(0.5)"),
        ("nn.LazyConv2d(4, 7)", "nn.AvgPool2d(kernel_size=5)", "nn.LazyConv2d(4, 5)"),
    ],
)
def test_the_side_of_a_map_is_that_of_torch(layers: tuple[str, ...]) -> None:
    network = nn.Sequential(*(eval(layer, {"nn": nn}) for layer in layers))
    try:
        true = network(torch.zeros(1, 3, 28, 28)).shape[-1]
    except RuntimeError:  # the map is smaller than a kernel
        true = 0
    assert last_map_side(layers, 28) == true


def test_mistakes_are_one_line(
    bodies: Path,
    layer_lists: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = ("--config", "demo-mnist", "--no-build-check", "--out", "new")
    rest = ("--config", "body-cpu", "--prompt", "tuned-full", "--out", "new")
    for words, said in (
        (("convert", "nowhere", *rest), "nowhere/train.jsonl"),
        (("convert", layer_lists, *rest), "not a body"),
        (("convert", bodies, *rest[:2], "--prompt", "features", *rest[4:]), "--prompt"),
        (("recombine", bodies, *demo), "layer lists"),
        (("recombine", layer_lists, *rest), "bodies can be made"),
    ):
        monkeypatch.setattr("sys.argv", ["synthetic-networks", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (2, ""), printed
        assert said in printed.err and printed.err.count("\n") == 1


def test_the_old_commands_name_the_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("convert", "recombine"):
        monkeypatch.setattr("sys.argv", ["nngpt", "corpus", name, "lists", "--out", "new"])
        with pytest.raises(SystemExit) as ended:
            nngpt_command.main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (2, "")
        assert f"moved to scripts/synthetic-networks {name}" in printed.err
        assert printed.err.count("\n") == 1
