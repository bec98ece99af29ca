"""`nngpt corpus build`: every line reads back, and every excluded network has a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Nngpt, start_nngpt
from corpus_samples import FILES, SETTINGS, classified, fill, normalised, sequential

from nngpt import config
from nngpt.config import EvaluationConfig
from nngpt.data.loading import data_source
from nngpt.errors import StoreError, UserError
from nngpt.finetuning.corpus.answers import AnswerWriter
from nngpt.finetuning.corpus.build import (
    BuiltCorpus,
    CorpusSelection,
    assign_families,
    build_corpus,
)
from nngpt.finetuning.corpus.build_check import open_build_check
from nngpt.finetuning.corpus.folder import corpus_facts, write_corpus
from nngpt.finetuning.corpus.lemur_networks import LemurNetwork, read_networks
from nngpt.generation import contract
from nngpt.generation.contract import make_reader
from nngpt.generation.contract.answers import read as read_answer
from nngpt.generation.pairs import corpus_pairs
from nngpt.generation.prompts import template as prompts
from nngpt.novelty.dedup.collection import DedupSettings
from nngpt.records import Candidate, Task, content_hash
from nngpt.store import Store

MNIST = Task("mnist", (1, 1, 28, 28), (10,), 0.0)
CIFAR = Task("cifar10", (1, 3, 32, 32), (10,), 0.0)
NETWORKS = {
    **FILES,
    "seq-1": sequential(16, 32, 64),
    "seq-2": sequential(16, 32, 64).replace("16", "24"),
    "deep-1": normalised(8, 12, 16, 32),
    "words-1": FILES["plain"].replace("import torch\n", "import torch\nimport timm\n", 1),
    "captions-1": FILES["residual"] + "\n# captions\n",
    "empty-1": FILES["residual"] + "\n# no trial\n",
    "long-1": FILES["branches"] + "# " + 9000 * "x" + "\n",
    "nngpt-0a1b": sequential(4, 4),
}
TRIALS = {
    "plain": [
        classified(0.7),
        classified(0.5, "cifar-10", lr=0.5, transform="bf-v1-RandomCrop_82"),
    ],
    "seq-1": [classified(0.8)],
    "seq-2": [classified(0.9)],
    "deep-1": [classified(0.95, "svhn", dropout=0.9, batch=8192)],
    "captions-1": [("img-captioning", "coco", 0.1, 1, SETTINGS)],
    "empty-1": [("img-captioning", "coco", 0.1, 1, {})],
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> list[LemurNetwork]:
    folder = fill(tmp_path_factory.mktemp("mirror"), NETWORKS, TRIALS)
    with Store.open(folder / "nngpt.db") as store:
        return read_networks(store)


def writer(mode: str, *tasks: Task) -> AnswerWriter:
    defaults = contract.Defaults.of(EvaluationConfig())
    return AnswerWriter(prompts.load(mode), tasks or (MNIST, CIFAR), defaults)


def losses(built: BuiltCorpus) -> dict[str, dict[str, int]]:
    return {step.step: step.reasons for step in built.exclusions.steps()}


def names(built: BuiltCorpus) -> list[str]:
    return [a.network.name for part in built.parts.values() for a in part]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().split("\n") if line]


def test_every_excluded_network_has_a_reason(mirror: list[LemurNetwork]) -> None:
    built = build_corpus(mirror, writer("full"), CorpusSelection(8000))
    assert losses(built) == {
        "not image classification": {"only img-captioning": 2},
        "written by our own runs": {"nngpt": 1},
        "contract, full mode": {
            "safety: imports the package 'timm', which networks may not use": 1
        },
        "too long": {"more than 8,000 characters": 1},
        "near-duplicate": {"level lexical": 1},
    }
    kept = names(built)
    assert sorted(kept) == sorted({*FILES, "seq-2", "deep-1"}), "seq-2 is better than seq-1"
    assert built.exclusions.start == len(NETWORKS) == len(kept) + 6
    assert list(built.exclusions.steps())[-1].left == len(kept)


def test_options_select_networks(mirror: list[LemurNetwork]) -> None:
    trained = build_corpus(mirror, writer("full"), CorpusSelection(8000, trained_only=True))
    assert sorted(names(trained)) == ["deep-1", "plain", "seq-2"]
    on_mnist = build_corpus(
        mirror, writer("full"), CorpusSelection(8000, min_accuracy=0.8, best_on="mnist")
    )
    assert names(on_mnist) == ["seq-2"]
    own = build_corpus(
        mirror, writer("full"), CorpusSelection(8000, DedupSettings(levels=("exact",)), own=True)
    )
    assert "nngpt-0a1b" in names(own)
    both = build_corpus(
        mirror, writer("full"), CorpusSelection(8000, DedupSettings(levels=("exact",)))
    )
    assert {"seq-1", "seq-2"} <= set(names(both))
    capped = build_corpus(
        mirror,
        writer("full"),
        CorpusSelection(8000, DedupSettings(levels=("exact",), per_family=1)),
    )
    assert losses(capped)["family cap"] == {"seq": 1} and "seq-2" in names(capped)
    few = build_corpus(mirror, writer("full"), CorpusSelection(8000, limit=3))
    assert sorted(names(few)) == ["deep-1", "plain", "seq-2"], "the best of each family first"


@pytest.mark.parametrize("mode", ["full", "body", "features"])
def test_every_line_reads_back(mirror: list[LemurNetwork], mode: str, tmp_path: Path) -> None:
    """A pair has the prompt of a run, byte for byte, and its answer passes the contract."""
    chosen = writer(mode)
    built = build_corpus(mirror, chosen, CorpusSelection(8000))
    out = tmp_path / "out"
    write_corpus(out, built, corpus_facts(mirror, chosen, CorpusSelection(8000), False))
    codes = {content_hash(code) for code in NETWORKS.values()}
    seen = 0
    for name in ("train", "dev", "test"):
        if not (out / f"{name}.jsonl").stat().st_size:
            continue
        for line, pair in zip(
            lines(out / f"{name}.jsonl"),
            corpus_pairs(out / f"{name}.jsonl", chosen.prompts[0].prompt),
            strict=True,
        ):
            task = MNIST if line["task"].startswith("mnist") else CIFAR
            settings = config.Config.model_validate(
                {"task": {"dataset": task.dataset}, "prompt": {"template": mode}}
            )
            reader = make_reader(settings, data_source(settings))
            assert pair.prompt == reader.prompt
            found = reader.read(pair.completion)
            assert isinstance(found, Candidate) and found.written == pair.completion
            assert line["nn_id"] in codes
            if mode == "full":
                assert found.content_hash == line["nn_id"]
            seen += 1
    assert seen == (len(names(built)) if mode == "features" else 2 * len(names(built)))
    assert seen >= 3


def test_answers_carry_the_best_trial(mirror: list[LemurNetwork]) -> None:
    """Settings are those of the best trial on the task's data set, else of the best of all."""
    built = build_corpus(mirror, writer("full"), CorpusSelection(8000))
    answered = {a.network.name: a for part in built.parts.values() for a in part}

    def settings(name: str, number: int) -> tuple[Any, ...]:
        answer = answered[name].answers[number]
        read = read_answer(answer.completion)
        assert not hasattr(read, "reason")
        trial = answer.trial
        return read.hyperparameters, read.batch, read.transform, trial and trial.dataset

    usual = {"lr": 0.0123, "momentum": 0.9, "dropout": 0.25}
    assert settings("plain", 0) == (usual, 32, "norm-32", "mnist")
    assert settings("plain", 1) == ({**usual, "lr": 0.5}, 32, None, "cifar-10")
    allowed = {"lr": 0.0123, "momentum": 0.9}
    for number in (0, 1):
        assert settings("deep-1", number) == (allowed, None, "norm-32", "svhn")
        assert settings("residual", number) == ({}, None, None, None)


def test_a_network_that_fails_is_replaced_by_a_near_duplicate(tmp_path: Path) -> None:
    """In the real sandbox: too many pooling layers for an image of 28 pixels."""
    networks = {"good-1": sequential(8, 16, pools=2), "bad-1": sequential(8, 16, pools=5)}
    networks |= {"other-1": sequential(8, 12, kernel=7)}
    trials = {"good-1": [classified(0.5)], "bad-1": [classified(0.9)]}
    with Store.open(fill(tmp_path, networks, trials) / "nngpt.db") as store:
        found = read_networks(store)
    choice, features = CorpusSelection(2000), writer("features", MNIST)
    assert "good-1" not in names(build_corpus(found, features, choice)), "bad-1 is more accurate"
    with open_build_check(EvaluationConfig(), [MNIST]) as check:
        built = build_corpus(found, features, choice, check)
    assert sorted(names(built)) == ["good-1", "other-1"]
    (reason,) = losses(built)["does not run"]
    assert reason.startswith("build: mnist: ")


def test_families_are_not_divided() -> None:
    sizes = {"ga": 50, "alt": 20, "ast": 10, **{f"hand{i}": 1 for i in range(20)}}
    families = [family for family, size in sizes.items() for _ in range(size)]
    parts = assign_families(families, (0.8, 0.1, 0.1), 1)
    assert parts.keys() == sizes.keys()
    counts = {p: sum(sizes[f] for f in sizes if parts[f] == p) for p in ("train", "dev", "test")}
    assert counts == {"train": 80, "dev": 10, "test": 10}
    assert (
        assign_families(families, (0.8, 0.1, 0.1), 2)
        != parts
        == assign_families(families, (0.8, 0.1, 0.1), 1)
    )
    assert set(assign_families(families, (1, 0, 0), 1).values()) == {"train"}


def test_same_mirror_same_bytes(nngpt: Nngpt, tmp_path: Path) -> None:
    """Two processes with different hash seeds write and print the same corpus."""
    fill(tmp_path / "runs", NETWORKS, TRIALS)
    made = []
    for number in ("1", "2"):
        command = ("corpus", "build", "--task", "mnist", "--out", f"made/{number}")
        # The warm process from which the second forks has a random hash seed.
        first = number == "1"
        done = start_nngpt(tmp_path, command, PYTHONHASHSEED="1") if first else nngpt(*command)
        assert done.returncode == 0, done.stderr
        made.append({f.name: f.read_bytes() for f in (tmp_path / "made" / number).iterdir()})
    assert made[0] == made[1]
    assert sorted(made[0]) == ["CARD.md", "dev.jsonl", "manifest.json", "test.jsonl", "train.jsonl"]
    assert "near-duplicate" in done.stdout and "level lexical" in done.stdout
    manifest = json.loads(made[0]["manifest.json"])
    assert manifest["funnel"]["kept"] == 8 and manifest["inputs"]["networks"] == len(NETWORKS)
    assert sum(part["pairs"] for part in manifest["splits"].values()) == 8
    again = nngpt("corpus", "build", "--out", "made/1")
    assert again.returncode == 2 and "made/1: the folder is not empty" in again.stderr
    assert {f.name: f.read_bytes() for f in (tmp_path / "made" / "1").iterdir()} == made[0]


def test_mistakes_are_one_line(call_nngpt: Nngpt, tmp_path: Path) -> None:
    fill(tmp_path / "runs", {"plain": FILES["plain"]}, {})
    for arguments, said in (
        (["--splits", "0.8,0.3"], "--splits: '0.8,0.3' is not three shares"),
        (["--task", "imagenet"], "unknown data set 'imagenet'"),
        (["--best-on", "mnist"], "--best-on: no trial on the data set 'mnist'"),
        (["--trained-only"], "no network is left (record: no accuracy on record)"),
        (["--folder", "nowhere"], "no LEMUR mirror here"),
    ):
        done = call_nngpt("corpus", "build", "--out", "made", *arguments)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists() and not list(tmp_path.glob(".made*"))


def test_a_mirror_without_networks_is_refused(tmp_path: Path) -> None:
    with (
        Store.open(fill(tmp_path, {}, {}) / "nngpt.db") as store,
        pytest.raises(StoreError, match="the mirror holds no networks"),
    ):
        read_networks(store)


def test_a_folder_that_cannot_be_written_keeps_nothing(
    mirror: list[LemurNetwork], tmp_path: Path
) -> None:
    chosen = writer("full")
    built = build_corpus(mirror, chosen, CorpusSelection(8000))
    facts = corpus_facts(mirror, chosen, CorpusSelection(8000), False)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(UserError, match="cannot be"):
        write_corpus(blocked / "out", built, facts)
