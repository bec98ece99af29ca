"""The HPO engine `llm`: prompts, answers, training pairs, and models that are tuned and asked."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, Nngpt
from finetuning.tiny_folder import write_tiny_model

from nngpt.errors import ModelError
from nngpt.prediction.hpo.folds import make_folds, write_folds
from nngpt.prediction.hpo.pools import pools
from nngpt.prediction.hpo.prompt import abridged, answer, question, read_answer
from nngpt.prediction.hpo.proposal import HPOTask, SearchSpace
from nngpt.prediction.hpo.tuning_pairs import LEARNED, pairs
from nngpt.prediction.places import Place
from nngpt.prediction.runs import History

PLAIN = ROOT / "tests" / "networks" / "plain.py"
MNIST = Place("img-classification", "mnist", "acc")
ASKED = ("hpo", "predict", PLAIN, "--dataset", "mnist", "--engine", "llm", "--max-batch", 64)
SHORT = """
import torch.nn as nn

def supported_hyperparameters():
    return {"lr"}

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()

    def forward(self, x):
        return self.layers(x)

    def train_setup(self, prm): pass

    def learn(self, train_data): pass
"""
SPACE = SearchSpace.of(frozenset({"lr", "momentum", "batch"}), 64, 32)


def test_the_question_holds_the_code_and_the_task() -> None:
    text = question(HPOTask(PLAIN.read_text(), SPACE, MNIST, 5, 0.987)).messages[0].content
    for part in (
        "mnist (10 classes, 60,000 images)",
        "Epochs: 5.",
        "Accuracy to reach: 0.99",
        "lr, momentum, batch, transform",
        "nn.Conv2d(in_shape[1], 16",
    ):
        assert part in text
    assert "the highest possible" in question(HPOTask("x = 1", SPACE, MNIST, 1)).messages[0].content


def test_abridged_code_lacks_its_middle_and_what_tells_nothing() -> None:
    code = PLAIN.read_text()
    short = abridged(code)
    assert "import" not in short and "def learn" not in short and "train_setup" in short
    ast.parse(short)
    cut = abridged(code, 300)
    assert len(cut) < 310 and "\n…\n" in cut
    assert (cut[:225], cut[-75:]) == (short[:225], short[-75:])


def test_answers_are_read_back() -> None:
    settings = {"lr": 0.012345, "momentum": 0.0, "batch": 64, "transform": "norm-flip"}
    text = answer(settings)
    assert text == '{"lr": 0.012, "momentum": 0.0, "batch": 64, "transform": "norm-flip"}'
    assert read_answer(text, SPACE) == {**settings, "lr": 0.012}


@pytest.mark.parametrize(
    "change",
    [{"lr": 2}, {"batch": 128}, {"batch": 63}, {"transform": "norm-64"}, {"tau": 1}, {"lr": None}],
)
def test_answers_outside_the_schema_are_refused(change: dict[str, object]) -> None:
    good = {"lr": 0.01, "momentum": 0.9, "batch": 64, "transform": "norm"}
    assert read_answer(json.dumps(good), SPACE) == good
    with pytest.raises(ModelError, match="does not match the schema"):
        read_answer(json.dumps(good | change), SPACE)
    with pytest.raises(ModelError, match="does not match the schema"):
        read_answer(json.dumps(good)[:-1], SPACE)


def test_components_take_turns_in_the_training_pairs(trials: History) -> None:
    found = pools(trials, 1, LEARNED)
    components = make_folds(trials).components
    learned = pairs(found, trials.codes, components, 12, 0)
    assert len(learned) == 12 == len({pair.completion + str(pair.prompt) for pair in learned})
    assert learned == pairs(found, trials.codes, components, 12, 0)
    networks = {pair.source.split(" on ")[0] for pair in learned}
    assert len({components[network] for network in networks}) >= 5
    for pair in learned:
        asked = pair.prompt.messages[0].content
        names = asked.split("Settings: ")[1].split(".\n")[0].split(", ")
        assert list(json.loads(pair.completion)) == names
        space = SearchSpace.of(frozenset(names), 512)
        assert read_answer(pair.completion, space) == json.loads(pair.completion)


def test_tune_a_model_and_benchmark_it(
    mirror: Path, trials: History, nngpt: Nngpt, tmp_path: Path
) -> None:
    small = [
        *(f"llm.model={write_tiny_model(tmp_path / 'tiny')}", "llm.device=cpu", "learning.rank=4"),
        *("learning.layers=2", "learning.epochs=1", "learning.batch_size=2"),
        *("learning.accumulation=1", "learning.max_length=1024"),
    ]
    sets = [f"--set={setting}" for setting in small]
    data = ("--folder", mirror, "--epochs", 1, "--folds", "folds.json")
    write_folds(make_folds(trials), tmp_path / "folds.json")
    tuned = nngpt(
        *("hpo", "tune", *data, "--without-fold", 0, "--limit", 2, "--out", "a", *sets),
    )
    assert tuned.returncode == 0, tuned.stderr
    assert "Use it: nngpt hpo predict --engine llm --adapter" in tuned.stdout
    told = nngpt(*ASKED, "--top", 2, "--adapter", "a/hpo")
    assert told.returncode == 0, told.stderr
    assert "not tuned" not in told.stderr
    first, second = told.stdout.split("---\n# 2, by llm\n")
    for settings in (first, second):
        check_settings(settings, {"lr", "momentum", "dropout"})
    of_one = ("--fold", 0, "--limit", 1, "--evaluations", 1, "--json")
    judged = nngpt("hpo", "bench", *data, *of_one, "--adapter", "a/hpo")
    assert judged.returncode == 0, judged.stderr
    valid = {one["engine"]: one["valid"] for one in json.loads(judged.stdout)["regrets"]}
    assert list(valid) == ["random", "default", "constant", "surrogate", "optuna", "llm"]
    assert (valid["llm"]["hits"], valid["llm"]["count"]) == (1, 1) and valid["optuna"] is None


def test_the_embedded_model_proposes_settings(nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text(SHORT)
    asked = ("hpo", "predict", "short.py", *ASKED[3:], "--set=llm.model=smollm2-135m")
    told = nngpt(*asked)
    assert told.returncode == 0, told.stderr
    assert "note: this LLM was not tuned for the question" in told.stderr
    check_settings(told.stdout, {"lr"})


def test_validity_with_and_without_a_grammar(mirror: Path, nngpt: Nngpt, tmp_path: Path) -> None:
    asked = ("hpo", "bench", "--folder", mirror, "--epochs", 1, "--limit", 2, "--out", "rows.jsonl")
    model = "--set=llm.model=smollm2-135m"
    told = nngpt(*asked, "--engine", "llm", "--without-grammar", model, "--json")
    assert told.returncode == 0, told.stderr
    found = {one["engine"]: one["valid"] for one in json.loads(told.stdout)["regrets"]}
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    for engine in ("llm", "llm, no grammar"):
        faults = [row["refused"][engine] for row in rows]
        assert found[engine]["count"] == 2 and found[engine]["hits"] == faults.count(None)
        assert all(fault is None or "does not match the schema" in fault for fault in faults)
        assert [len(row["picks"][engine]) for row in rows] == [8, 8]
    assert found["llm"]["hits"] == 2, "which the grammar guarantees"
    assert found["llm, no grammar"]["hits"] < 2, "the LLM was not tuned for the question"


def check_settings(text: str, names: set[str]) -> None:
    chosen = yaml.safe_load(text)["evaluation"]
    assert chosen["hyperparameters"].keys() == names
    assert chosen["batch"] <= 64


def test_mistakes_are_one_line(mirror: Path, call_nngpt: Nngpt) -> None:
    data = ("--folder", mirror)
    for arguments, line in (
        (("tune", *data, "--without-fold", 0), "give --folds and --without-fold, or neither"),
        (("tune", *data, "--name", "../x"), "is not a plain name"),
        (("bench", *data, "--adapter", "none"), "--adapter needs --fold"),
        (
            ("bench", *data, "--without-grammar"),
            "--without-grammar needs --engine llm",
        ),
        (("bench", *data, "--adapter", "none", "--fold", 0), "not an adapter that nngpt wrote"),
    ):
        told = call_nngpt("hpo", *arguments)
        assert told.returncode == 2 and len(told.stderr.splitlines()) == 1, told.stderr
        assert line in told.stderr
