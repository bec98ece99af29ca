"""Hyperparameters that an HPO engine proposes for the candidates of a run (`evaluation.hpo`)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ALSO_GOOD, GOOD, NO_LAYER, ROOT
from quick_runs import quick_run, write_answers

from nngpt import config
from nngpt.errors import UserError
from nngpt.generation.contract.candidate import Defaults
from nngpt.prediction.hpo.candidates import CandidateTuner
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import HPOTask, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.places import facts_of, place_of
from nngpt.records import Candidate, Task
from nngpt.store import Store

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.5)
CODE = (ROOT / "tests" / "networks" / "plain.py").read_text()
SET = ("evaluation.hpo=surrogate", 'evaluation.hyperparameters={"lr": 0.03, "momentum": 0.7}')


def candidate(**values: float) -> Candidate:
    return Candidate(CODE, CODE, "full", values, "norm-crop-flip", 32)


def test_the_surrogate_proposes_what_the_answer_leaves_open() -> None:
    settings = config.load("smoke-mnist", SET)
    tuner = CandidateTuner("surrogate", settings, TASK, 1000)
    space = SearchSpace(frozenset({"lr", "momentum", "dropout"}), 32, max_side=0, min_batch=32)
    assert space.batches == (32,)
    asked = HPOTask(CODE, space, place_of(TASK), 1, facts=facts_of(TASK), images=1000)
    (best,) = best_of_grid(SurrogateFile(file_to_use(default_path())), asked, 1)
    assert best.hyperparameters != {"lr": 0.03, "momentum": 0.7, "dropout": 0.2}

    open_ = candidate(lr=0.03, momentum=0.7, dropout=0.2)
    found = tuner.tuned(open_)
    assert found.hyperparameters == best.hyperparameters and tuner.tuned(open_) == found
    assert replace(found, hyperparameters=open_.hyperparameters) == open_

    own = tuner.tuned(candidate(lr=0.5, momentum=0.7, dropout=0.2, gamma=3.0))
    assert own.hyperparameters == {**best.hyperparameters, "lr": 0.5, "gamma": 3.0}
    given = candidate(lr=0.5, momentum=0.1)
    assert tuner.tuned(given) is given
    tuner.close()


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
        ("optuna", "trains networks, which is not possible"),
    ],
)
def test_engines_that_cannot_propose_are_refused(engine: str, said: str) -> None:
    settings = config.load("smoke-mnist", SET)
    with pytest.raises(UserError, match=said):
        CandidateTuner(engine, settings, TASK, 1000).tuned(candidate(lr=0.03))


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
        assert tuner.tuned(replace(one, hyperparameters=plain)) == one
        assert one.hyperparameters != plain
