"""Stages of a search with the real sandbox: formats, tuning, and the final training."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nngpt import config
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search import ladder, speed, tuning
from nngpt.search.entrants import candidate_of
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.ladder import Entrant, Standing, Trainer
from nngpt.search.plan import choose_side
from nngpt.search.portfolio import read_portfolio
from nngpt.search.recipe import Recipe

TRAIN = 64
PLAIN_ONLY = """
from torch import nn


def supported_hyperparameters():
    return set()


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.conv = nn.Conv2d(in_shape[1], 8, 3, padding=1)
        self.last = nn.Linear(8, out_shape[0])

    def train_setup(self, prm):
        pass

    def learn(self, data):
        pass

    def forward(self, x):
        x = self.conv(x)
        return self.last(x.view(len(x), -1).view(len(x), 8, -1).mean(2))
"""
"""A network that cannot train in the format channels_last."""


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    base = config.load(
        None,
        ["task.dataset=mnist", f"task.train_limit={TRAIN}", "task.validation_limit=64"],
    )
    source = data_source(base)
    splits, task = load_splits(base, source, lambda _: None), make_task(base, source)
    with LocalExecutor(splits, base.evaluation, task) as found:
        yield found


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "MOST_EPOCHS", 2.0)


def begin(
    executor: LocalExecutor, folder: Path, recipe: Recipe, code: str = ""
) -> tuple[Trainer, Standing]:
    trainer = Trainer(executor, Journal(folder, 600.0, time.monotonic()), 1, TRAIN)
    cheapest = candidate_of(read_portfolio()[0])
    candidate = cheapest if not code else cheapest.__class__(code, code, "full", {}, "norm", 16)
    entrant = Entrant("it", candidate, "nobody", "", recipe)
    first = trainer.train("first-it", entrant, recipe.stage(TRAIN, 0, 30.0), None)
    return trainer, (entrant, first)


def test_a_tuning_that_was_killed_tries_the_same_recipes(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    usual = Recipe(batch=16)
    first = tuning.proposals(usual, None)
    trainer, leader = begin(executor, tmp_path, usual)
    best = tuning.tune(trainer, leader, first, 6, 30.0, lambda _: None)
    stages = sorted(trainer.journal.stages.values(), key=lambda record: record.key)
    tried = [record for record in stages if record.key[:4] == "tune"]
    assert [record.recipe for record in tried][:4] == first
    assert len({record.recipe for record in tried}) == 6
    assert best[1] == leader[1]
    assert best[0].recipe == max(tried, key=lambda record: record.accuracy).recipe
    assert all(record.before == "" for record in tried)

    lines = (tmp_path / "stages.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "stages.jsonl").write_text("".join(lines[:4]))
    again, leader = begin(executor, tmp_path, usual)
    tuning.tune(again, leader, first, 6, 30.0, lambda _: None)
    recipes = {record.key: record.recipe for record in again.journal.stages.values()}
    assert recipes == {record.key: record.recipe for record in trainer.journal.stages.values()}


def test_a_finished_training_goes_on_when_the_time_is_raised(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    trainer, leader = begin(executor, tmp_path, Recipe(batch=16))

    def finish(seconds: float) -> tuple[Standing, list[StageRecord]]:
        best = ladder.finish(trainer, leader, seconds, 2, lambda _: None)
        return best, ladder.finals(trainer.journal, leader[0].network)

    best, parts = finish(30.0)
    assert len(parts) == 2
    assert best[1].accuracy == max(one.accuracy for one in (leader[1], *parts))
    assert finish(5.0) == (best, parts)
    better, more = finish(30.0)
    assert len(more) == 4
    assert more[2].batches > best[1].batches
    assert better[1].accuracy >= best[1].accuracy

    for one in (leader[1], *more):  # as if a result had been written
        if one.key != better[1].key:
            trainer.journal.forget(one.key)
    _, most = finish(30.0)
    assert len(most) == 6
    assert most[4].before == better[1].key


def test_a_network_that_needs_the_plain_format_gets_it(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    _, (_, record) = begin(executor, tmp_path, Recipe(memory_format="channels_last"), PLAIN_ONLY)
    assert record.refused == ""
    assert record.recipe is not None
    assert record.recipe.memory_format == "contiguous"


def test_the_format_is_measured(executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.3)
    candidate = candidate_of(read_portfolio()[0])
    chosen, reason = speed.choose_format(executor, candidate, Recipe(batch=16), TRAIN, 1)
    assert chosen.memory_format in reason
    assert "channels_last" in reason
    assert "× as fast" in reason


@pytest.mark.parametrize(
    ("own", "images", "minutes", "cores", "side"),
    [
        ((48, 64), 600, 60.0, 2, None),
        ((300, 200), 600, 10.0, 2, 64),
        ((300, 200), 600, 60.0, 2, 192),
        ((100, 80), 600, 60.0, 2, 96),
        ((300, 200), 100_000, 60.0, 2, 64),
        ((300, 200), 100_000, 600.0, 100, 224),
    ],
)
def test_large_images_are_as_large_as_the_time_allows(
    own: tuple[int, int], images: int, minutes: float, cores: int, side: int | None
) -> None:
    assert choose_side(own, images, minutes, cores) == side


@pytest.mark.parametrize(
    ("part", "small"),
    [((0.0, 1.0), 0.6), ((0.0, 0.5), 1.0), ((0.5, 0.75), 0.4), ((0.75, 1.0), 0.0)],
)
def test_the_first_parts_of_a_training_have_small_images(
    part: tuple[float, float], small: float
) -> None:
    assert Recipe(small=0.6).stage(100, 0, 1.0, *part).small == pytest.approx(small)


def test_a_rate_of_the_portfolio_suits_the_batch() -> None:
    usual = Recipe(batch=32, transform="norm-crop")
    assert usual.with_rate(None) == usual
    stage = usual.with_rate(0.2).stage(100, 0, 1.0)
    assert (stage.optimiser, stage.batch, stage.transform) == ("sgd", 32, "norm-crop")
    assert max(rate for _, rate in stage.schedule) == pytest.approx(0.1)
    assert stage.weight_decay < usual.weight_decay
