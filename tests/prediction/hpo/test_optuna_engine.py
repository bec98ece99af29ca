"""The HPO engine `optuna`: settings tried by training, sampled by TPE or at random."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, Nngpt
from optuna.samplers import TPESampler

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import UserError
from nngpt.prediction.hpo.engines.optuna import TPE, search
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal, SearchSpace, Train
from nngpt.prediction.places import Place
from nngpt.records import EpochResult, Evaluation, Refusal, Stage

PLAIN = ROOT / "tests" / "networks" / "plain.py"
SPACE = SearchSpace.of(frozenset({"lr", "momentum", "tau", "batch"}), 64, 32)


def hill(proposal: Proposal) -> Evaluation | Refusal:
    """Best at a learning rate of 0.01; refused where it explodes."""
    lr = proposal.hyperparameters["lr"]
    if lr > 0.3:
        return Refusal(Stage.TRAIN, "the loss is not finite")
    accuracy = math.exp(-abs(math.log10(lr) + 2))
    return Evaluation((EpochResult(1, accuracy, 0, 0, 0.0),), 1, 0.0, "cpu", 0, "full")


def test_given_proposals_are_tried_first_and_the_best_is_returned_first() -> None:
    proposed = [
        Proposal("surrogate", {"lr": lr, "momentum": 1.0, "tau": 0.0}, 32, "norm_32", 1)
        for lr in (0.9, 0.01)
    ]
    tried: list[Proposal] = []

    def train(proposal: Proposal) -> Evaluation | Refusal:
        tried.append(proposal)
        return hill(proposal)

    found = search(train, SPACE, 1, 6, 3, proposed=proposed)
    assert [one.hyperparameters["lr"] for one in tried[:2]] == [0.9, 0.01]
    assert [one.hyperparameters["momentum"] for one in tried[:2]] == [0.99, 0.99]
    assert isinstance(found[-1].trained, Refusal) and found[-1].score == -1
    assert found[0].hyperparameters["lr"] == 0.01 and found[0].score == 1
    assert sorted(found, key=lambda one: -one.score) == found and len(found) == 6
    again = search(hill, SPACE, 1, 6, 3, proposed=proposed)
    assert again == found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_sampled_settings_are_within_the_search_space(sampler: str) -> None:
    tried = search(hill, SPACE, 5, 20, 1, sampler)
    assert len({one.hyperparameters["lr"] for one in tried}) == 20
    for proposal in tried:
        assert proposal.hyperparameters.keys() == {"lr", "momentum", "tau"}
        assert 1e-5 <= proposal.hyperparameters["lr"] <= 1
        assert proposal.batch in SPACE.batches and proposal.epochs == 5
        assert replace(SPACE, max_side=0).fits(proposal.transform), "no image is resized"
        assert proposal.notes == ("set to 0, as no range is known: tau",)


def test_no_default_of_optuna_decides_what_is_sampled() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(TPESampler).parameters.items()
        if parameter.default is not None  # what is deprecated has None
    }
    assert defaults.keys() - TPE.keys() == {"n_startup_trials"}
    assert search(hill, SPACE, 1, 20, 5) == search(hill, SPACE, 1, 20, 5)


def test_if_all_trainings_are_refused_the_last_reason_is_reported() -> None:
    def refuse(proposal: Proposal) -> Refusal:
        return Refusal(Stage.BUILD, "no such layer")

    with pytest.raises(UserError, match=r"all 2 trainings were refused; .* build: no such layer"):
        search(refuse, SPACE, 1, 2, 0)


def test_search_with_real_trainings(surrogate_file: Path, nngpt: Nngpt) -> None:
    few = ["--set=task.train_limit=300", "--set=task.validation_limit=200"]
    asked = ("hpo", "predict", PLAIN, "--dataset", "mnist", *few)
    searched = nngpt(*asked, "--engine", "optuna", "--budget", 2, "--surrogate", surrogate_file)
    assert searched.returncode == 0, searched.stderr
    assert searched.stderr.count("accuracy") == 2, "a line for each training"
    assert "the best of 2 trainings" in searched.stderr
    first, trained, *settings = searched.stdout.splitlines()
    assert first == "# 1, by optuna" and trained.startswith("# trained: accuracy")
    assert yaml.safe_load("\n".join(settings))["evaluation"]["hyperparameters"].keys() == {
        *("lr", "momentum", "dropout")
    }
    told = nngpt(*asked, "--engine", "default", "--run", "--json")
    (one,) = json.loads(told.stdout)
    assert one["trained"]["epochs"][0]["total"] == 200


def test_a_search_begins_with_the_packaged_surrogate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def training(task: HPOTask) -> Iterator[Train]:
        yield hill

    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path))
    context = EngineContext(Config(), training)
    engine = plugins.create("HPO engine", "optuna", context, options={"budget": 3})
    place = Place("img-classification", "mnist", "acc")
    (best,) = engine.propose(HPOTask(PLAIN.read_text(), SPACE, place, 1), 1)
    assert best.score > 0
    assert best.notes[1:] == ("the best of 3 trainings, chosen on these images: --run trains anew",)
    with pytest.raises(UserError, match="'optuna' trains networks, which is not possible here"):
        plugins.create("HPO engine", "optuna", EngineContext(Config())).propose(
            HPOTask(PLAIN.read_text(), SPACE, place, 1), 1
        )
