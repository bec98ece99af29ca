"""Hyperparameters that an HPO engine proposes for the candidates of a run (`evaluation.hpo`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, GOOD, NO_LAYER, ROOT
from quick_runs import quick_run, write_answers

from nngpt import config
from nngpt.errors import UserError
from nngpt.generation.contract.answers import Answer, given_hyperparameters, write, write_diff
from nngpt.generation.contract.candidate import Defaults
from nngpt.prediction.hpo.candidates import CandidateTuner
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import HPOTask, Proposal, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.places import facts_of, place_of
from nngpt.records import Candidate, Task
from nngpt.store import Store

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.5)
CODE = (ROOT / "tests" / "networks" / "plain.py").read_text()
SET = ("evaluation.hpo=surrogate", 'evaluation.hyperparameters={"lr": 0.03, "momentum": 0.7}')


def candidate(**values: float) -> Candidate:
    return Candidate(CODE, CODE, "full", values, "norm", 32)


def answer(**values: float) -> str:
    return write(Answer(CODE, values))


def best(*more: str, **limits: Any) -> Proposal:
    """The point of the surrogate's grid that it scores best, batches of 32."""
    names = frozenset({"lr", "momentum", "dropout", *more})
    space = SearchSpace(names, 32, min_batch=32, **limits)
    asked = HPOTask(CODE, space, place_of(TASK), 1, facts=facts_of(TASK), images=1000)
    (found,) = best_of_grid(SurrogateFile(file_to_use(default_path())), asked, 1)
    return found


def test_the_surrogate_proposes_for_the_batch_and_transform_of_the_candidate() -> None:
    tuner = CandidateTuner("surrogate", config.load("smoke-mnist", SET), TASK, 1000)
    expected = best("gamma", transform="norm")
    assert (expected.batch, expected.transform) == (32, "norm")
    left_open = candidate(lr=0.03, momentum=0.7, dropout=0.2, gamma=3.0)
    found = tuner.tuned(left_open, answer())
    assert found.hyperparameters == {**expected.hyperparameters, "gamma": 3.0}
    assert found.hyperparameters["lr"] != 0.03
    assert replace(found, hyperparameters=left_open.hyperparameters) == left_open
    assert tuner.tuned(left_open, answer()) == found
    resized = replace(left_open, transform="norm-64")
    far = tuner.tuned(resized, answer())
    unknown = tuner.tuned(replace(left_open, transform="norm-crop-flip"), answer())
    assert unknown.hyperparameters == found.hyperparameters, "LEMUR has no such transform"
    assert far.hyperparameters == {
        **best("gamma", transform="norm-64").hyperparameters,
        "gamma": 3.0,
    }
    tuner.close()


@pytest.mark.parametrize("text", ["", "nn.Sequential(\n    nn.ReLU(),\n)", "```diff\n@@\n```"])
def test_an_answer_without_settings_gives_nothing(text: str) -> None:
    assert given_hyperparameters(text) == frozenset()


def test_an_answer_that_gives_one_of_the_hyperparameters_keeps_them_all() -> None:
    """Also the configuration's own value: what belongs together is not mixed."""
    tuner = CandidateTuner("surrogate", config.load("smoke-mnist", SET), TASK, 1000)
    values = candidate(lr=0.03, momentum=0.7, dropout=0.2)
    for text in (answer(lr=0.03), write_diff("@@\n-a\n+b", Answer("-", {"momentum": 0.7}))):
        assert tuner.tuned(values, text) is values
    inherited = candidate(lr=0.5, momentum=0.1, dropout=0.3)
    changed = tuner.tuned(inherited, "```diff\n@@\n-a\n+b\n```")
    assert changed.hyperparameters == best(transform="norm").hyperparameters, (
        "a parent's values are not the answer's"
    )


def test_the_number_of_images_matters() -> None:
    file = SurrogateFile(file_to_use(default_path()))
    space = SearchSpace.of(frozenset({"lr", "momentum"}), 64, max_side=0)
    few, many = (
        best_of_grid(file, HPOTask(CODE, space, place_of(TASK), 1, images=images), 1)[0]
        for images in (100, 60_000)
    )
    assert few.settings != many.settings


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("surrogat", "Did you mean 'surrogate'"),
        ("optuna", "evaluation.hpo: the engine 'optuna' trains, or asks an LLM, to propose"),
    ],
)
def test_engines_that_cannot_propose_at_once_are_refused_before_anything_is_stored(
    engine: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [GOOD])
    with pytest.raises(UserError, match=said):
        quick_run(tmp_path, 1, f"evaluation.hpo={engine}")
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        assert not store.runs()


def test_a_run_stores_the_proposals_of_each_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [GOOD, ALSO_GOOD, NO_LAYER])
    quick_run(tmp_path, 1, *SET, "candidates.per_cycle=3", "llm.batch_size=3")
    settings = config.load("smoke-mnist", SET)
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        attempts = store.attempts(1, with_code=True)
    found = [a.candidate for a in attempts if a.candidate is not None]
    assert len(found) == 3
    tuner, usual = (
        CandidateTuner("surrogate", settings, TASK, 100),
        Defaults.of(settings.evaluation),
    )
    for one in found:
        plain = {name: usual.hyperparameters[name] for name in one.hyperparameters}
        assert tuner.tuned(replace(one, hyperparameters=plain), one.written) == one
        assert one.hyperparameters != plain
