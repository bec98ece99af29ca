"""The recipe that LEMUR's surrogate proposes for a network of a search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nngpt.config import Config
from nngpt.data.loading import make_task
from nngpt.data.sources import mnist
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate
from nngpt.search.entrants import answer_of
from nngpt.search.portfolio import read_portfolio
from nngpt.search.recipe import Recipe
from nngpt.search.surrogate import surrogate_recipe


def test_the_rate_of_a_proposal_grows_with_the_batch() -> None:
    source, config = mnist.create(None), Config(prompt={"template": "full"})
    task = make_task(config, source)
    candidate = make_reader(config, source).read(answer_of(read_portfolio()[0]))
    assert isinstance(candidate, Candidate)
    usual = Recipe(batch=64, transform="norm-crop")
    found = surrogate_recipe(candidate, task, usual, 4000)
    assert found is not None
    assert (found.optimiser, found.batch, found.transform) == ("sgd", 64, "norm-crop")
    assert 0.005 < found.lr < 1
    for other in (
        replace(candidate, hyperparameters={"dropout": 0.2}),
        replace(candidate, code=candidate.code.replace("optim.SGD(", "optim.Adam(")),
    ):
        assert surrogate_recipe(other, task, usual, 4000) is None
    smaller = surrogate_recipe(candidate, task, replace(usual, batch=32), 4000)
    assert smaller is not None
    assert smaller.lr == pytest.approx(found.lr / 2, rel=0.1)
