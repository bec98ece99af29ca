"""Search: settings tried by training, TPE and random."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, Nngpt

from nngpt.errors import UserError
from nngpt.prediction.hpo.choice import Choice, Space
from nngpt.prediction.hpo.searching import Tried, search
from nngpt.records import EpochResult, Evaluation, Refusal, Stage

PLAIN = ROOT / "tests" / "networks" / "plain.py"
SPACE = Space.of(frozenset({"lr", "momentum", "tau", "batch"}), 64, 32)


def hill(choice: Choice) -> Evaluation | Refusal:
    """Best at a learning rate of 0.01; refused where it explodes."""
    lr = choice.hyperparameters["lr"]
    if lr > 0.3:
        return Refusal(Stage.TRAIN, "the loss is not finite")
    accuracy = math.exp(-abs(math.log10(lr) + 2))
    return Evaluation((EpochResult(1, accuracy, 0, 0, 0.0),), 1, 0.0, "cpu", 0, "full")


def test_what_is_proposed_is_tried_first_and_the_best_comes_first() -> None:
    proposed = [
        Choice("surrogate", {"lr": lr, "momentum": 1.0, "tau": 0.0}, 32, "norm_32", 1)
        for lr in (0.9, 0.01)
    ]
    tried: list[Tried] = []
    found = search(hill, SPACE, 1, 6, 3, proposed=proposed, watch=tried.append)
    assert [one.choice.hyperparameters["lr"] for one in tried[:2]] == [0.9, 0.01]
    assert [one.choice.hyperparameters["momentum"] for one in tried[:2]] == [0.99, 0.99]
    assert tried[0].last is None and tried[0].score == -1
    assert found[0].choice.hyperparameters["lr"] == 0.01 and found[0].score == 1
    assert sorted(found, key=lambda one: -one.score) == found and len(found) == 6
    again = search(hill, SPACE, 1, 6, 3, proposed=proposed)
    assert again == found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_all_that_is_tried_can_be_chosen(sampler: str) -> None:
    tried = search(hill, SPACE, 5, 20, 1, sampler)
    assert len({one.choice.hyperparameters["lr"] for one in tried}) == 20
    for choice in (one.choice for one in tried):
        assert choice.hyperparameters.keys() == {"lr", "momentum", "tau"}
        assert 1e-5 <= choice.hyperparameters["lr"] <= 1
        assert choice.batch in SPACE.batches and choice.epochs == 5
        assert replace(SPACE, max_side=0).fits(choice.transform), "no image is resized"
        assert choice.notes == ("nothing is known of tau: 0 was taken",)


def test_if_nothing_trains_the_last_reason_is_told() -> None:
    def refuse(choice: Choice) -> Refusal:
        return Refusal(Stage.BUILD, "no such layer")

    with pytest.raises(UserError, match=r"all 2 trainings were refused; .* build: no such layer"):
        search(refuse, SPACE, 1, 2, 0)


def test_search_and_train_with_real_trainings(
    surrogate_file: Path, nngpt: Nngpt, tmp_path: Path
) -> None:
    few = ["--set=task.train_limit=300", "--set=task.validation_limit=200"]
    asked = ("hpo", "predict", PLAIN, "--dataset", "mnist", *few, "--run")
    searched = nngpt(*asked, "--engine", "optuna", "--budget", 2, "--surrogate", surrogate_file)
    assert searched.returncode == 0, searched.stderr
    assert searched.stderr.count("accuracy") == 2, "each training is told"
    assert "the best of 2 trainings" in searched.stderr
    first, trained, *settings = searched.stdout.splitlines()
    assert first == "# 1, by optuna" and trained.startswith("# trained: accuracy")
    assert yaml.safe_load("\n".join(settings))["evaluation"]["hyperparameters"].keys() == {
        *("lr", "momentum", "dropout")
    }
    told = nngpt(*asked, "--engine", "default", "--json")
    (one,) = json.loads(told.stdout)
    assert one["trained"]["epochs"][0]["total"] == 200


def test_without_a_surrogate_a_search_begins_with_nothing(nngpt: Nngpt, tmp_path: Path) -> None:
    few = ["--set=task.train_limit=300", "--set=task.validation_limit=200"]
    cache = Path.home() / ".cache" / "nngpt"
    (tmp_path / "cache").mkdir()
    for kept in cache.iterdir():
        if kept.name != "hpo.zip":
            (tmp_path / "cache" / kept.name).symlink_to(kept)
    searched = nngpt(
        *("hpo", "predict", PLAIN, "--dataset", "mnist", *few, "--engine", "optuna"),
        *("--budget", 1),
        NNGPT_CACHE=str(tmp_path / "cache"),
    )
    assert searched.returncode == 0, searched.stderr
    assert "note: there is no surrogate to begin with (nngpt hpo train)" in searched.stderr
