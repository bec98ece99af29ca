"""The contract of the plug-in kind `HPO engine`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import ROOT, run_nngpt

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import ConfigError, PluginError
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, SearchSpace
from nngpt.prediction.places import Place
from nngpt.protocols import HPOEngine

KIND = "HPO engine"
PLAIN = ROOT / "tests" / "networks" / "plain.py"
CONTEXT = EngineContext(Config())

OUTSIDE = '''
"""An HPO engine outside the package: the smallest batch size, and a learning rate as an option."""

from nngpt.plugins import PluginOptions
from nngpt.prediction.hpo.proposal import Proposal


class Options(PluginOptions):
    budget: int = 1


class Cautious:
    def __init__(self, steps):
        self.steps = steps

    def propose(self, task, count):
        values, notes = task.space.fixed()
        values["lr"] = 0.001 * self.steps
        batch = task.space.batches[0]
        return [Proposal("cautious", values, batch, "norm", task.epochs, notes=notes)]

    def close(self):
        print("closed")


def create(context, *, options):
    return Cautious(options.budget)
'''


def test_the_built_in_engines() -> None:
    assert plugins.names(KIND) == ["default", "llm", "optuna", "surrogate"]


@pytest.mark.parametrize("name", ["default", "optuna", "surrogate"])
def test_engines_propose_within_the_search_space(name: str, surrogate_file: Path) -> None:
    options = {} if name == "default" else {"surrogate": surrogate_file}
    engine = plugins.create(KIND, name, CONTEXT, options=options)
    assert isinstance(engine, HPOEngine)
    if name != "optuna":  # which trains networks: test_optuna_engine.py
        space = SearchSpace.of(frozenset({"lr", "momentum", "batch"}), 64, 32)
        place = Place("img-classification", "mnist", "acc")
        proposals = engine.propose(HPOTask(PLAIN.read_text(), space, place, 1), 2)
        assert 1 <= len(proposals) <= 2
        for proposal in proposals:
            assert proposal.hyperparameters.keys() == {"lr", "momentum"}
            assert proposal.batch in space.batches and space.fits(proposal.transform)
    engine.close()


def test_unknown_engines_and_options_are_refused() -> None:
    with pytest.raises(PluginError, match=r"unknown HPO engine 'tpe'\. Known: default, llm"):
        plugins.create(KIND, "tpe", CONTEXT)
    with pytest.raises(ConfigError, match=r"unknown key 'options\.budgets'.*Did you mean 'budget'"):
        plugins.create(KIND, "optuna", CONTEXT, options={"budgets": 3})
    with pytest.raises(ConfigError, match="The HPO engine 'default' has no options"):
        plugins.create(KIND, "default", CONTEXT, options={"budget": 3})


def test_an_engine_outside_the_package_proposes_with_its_own_options(tmp_path: Path) -> None:
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "cautious.py").write_text(OUTSIDE.lstrip())
    asked = ("hpo", "predict", PLAIN, "--dataset", "mnist")
    done = run_nngpt(
        tmp_path,
        [*asked, "--engine", "mylab.cautious", "--budget", 20, "--json"],
        PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    closed, found = done.stdout.split("\n", 1)
    assert closed == "closed"
    (proposal,) = json.loads(found)
    assert (proposal["engine"], proposal["batch"]) == ("cautious", 8)
    assert proposal["hyperparameters"] == {"dropout": 0.2, "lr": 0.02, "momentum": 0.9}
