"""The logic of a search: rungs, learning rates, and the journal after a kill."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nngpt.config import Config
from nngpt.data.sources import mnist
from nngpt.errors import UserError
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate, Refusal, Stage, StagedTraining, TrainingStage
from nngpt.search import ladder, standings
from nngpt.search.entrants import answer_of
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.ladder import Entrant, Standing, Trainer, climb, rung_sizes
from nngpt.search.portfolio import PortfolioNetwork, choose_for, read_portfolio
from nngpt.search.recipe import Recipe
from nngpt.search.request import make_request


@pytest.mark.parametrize(
    ("count", "workers", "expected"),
    [(0, 2, []), (1, 2, []), (2, 2, [2]), (4, 2, [2]), (9, 2, [4, 2]), (24, 2, [8, 4, 2])],
)
def test_each_rung_keeps_the_best_third(count: int, workers: int, expected: list[int]) -> None:
    assert rung_sizes(count, workers) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (2, [2]), (5, [3]), (10, [4, 3]), (24, [8, 4, 3])]
)
def test_several_objectives_leave_a_front(count: int, expected: list[int]) -> None:
    assert rung_sizes(count, 2, 3) == expected


class Scripted:
    """An executor that answers with a share of right answers and a size for each code."""

    workers, device = 2, "cpu"

    def __init__(self, networks: Mapping[str, tuple[int, int]], most: int = 99) -> None:
        self.networks, self.most = networks, most
        """Networks by code, and the largest batch for which memory is enough."""

    def advance(
        self, candidate: Candidate, seed: int, stage: TrainingStage, before: bytes | None = None
    ) -> StagedTraining | Refusal:
        if stage.batch > self.most:
            return Refusal(Stage.TRAIN, "out of memory")
        correct, parameters = self.networks[candidate.code]
        return StagedTraining(correct, 100, 1, 0.1, b"weights", claimed_parameters=parameters)

    def stop(self) -> None:
        raise AssertionError("nothing is interrupted")


@pytest.mark.parametrize(
    ("objectives", "last"),
    [(("accuracy",), "ab"), (("accuracy", "parameters"), "acd"), (("accuracy", "macs"), "abc")],
)
def test_halving_follows_the_objectives(
    objectives: tuple[str, ...], last: str, tmp_path: Path
) -> None:
    networks = {"a": (95, 900), "b": (94, 950), "c": (90, 30), "d": (80, 20), "e": (79, 25)}
    executor = Scripted(networks)
    trainer = Trainer(executor, Journal(tmp_path, 60.0, time.monotonic()), 1, 10)
    field: list[Standing] = []
    for code in "ecdba":
        entrant = Entrant(code, Candidate(code, "", "full", {}, "norm", 1), "", "", Recipe())
        stage = entrant.recipe.stage(10, 0, 1.0)
        field.append((entrant, trainer.train(f"first-{code}", entrant, stage, None)))
    found = climb(trainer, field, 1.0, print, objectives)
    assert "".join(sorted(entrant.title for entrant, _ in found)) == last


@pytest.mark.parametrize(
    ("most", "batches", "accurate"),
    [(64, [64] * 3, 0.95), (32, [64, 32, 32, 32], 0.95), (9, [64, 32], 0.9)],
)
def test_a_part_that_fails_is_tried_once_more_with_half_the_batch(
    most: int, batches: list[int], accurate: float, tmp_path: Path
) -> None:
    def told() -> list[tuple[int, float]]:
        tried = ladder.finals(journal, entrant.network)
        return [(one.recipe.batch, one.recipe.lr) for one in tried]

    journal, lines = Journal(tmp_path, 60.0, time.monotonic()), list[str]()
    entrant = Entrant("a", Candidate("a", "", "full", {}, "norm", 1), "", "", Recipe())
    first = StageRecord(f"first-{entrant.network}", entrant.network, 90, 100)
    leader = entrant, journal.add(first, b"weights")
    trainer = Trainer(Scripted({"a": (95, 10)}, most), journal, 1, 10)
    best = ladder.finish(trainer, leader, 30.0, 3, lines.append)
    rate = Recipe().lr / Recipe().batch
    assert told() == [(batch, pytest.approx(rate * batch)) for batch in batches]
    assert best[1].accuracy == accurate
    assert sum("out of memory" in line for line in lines) == len(batches) - 3 * (accurate > 0.9)
    if accurate == 0.9:
        ladder.finish(trainer, leader, 30.0, 3, lines.append)
        assert [batch for batch, _ in told()] == [64, 32, 16, 8, 8, 8]


@pytest.mark.parametrize(
    ("objectives", "began", "expected"),
    [
        (("accuracy",), "a", "a"),
        (("accuracy", "parameters"), "", ""),
        (("accuracy", "parameters"), "a", "abc"),
        (("accuracy", "parameters"), "ac", "abc"),
    ],
)
def test_a_search_that_was_killed_in_a_final_training_goes_on_with_all(
    objectives: tuple[str, ...],
    began: str,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path, 60.0, time.monotonic())
    field: list[Standing] = []
    for code, correct, parameters in (("a", 95, 900), ("b", 90, 30), ("c", 80, 20), ("d", 79, 25)):
        candidate = Candidate(code, "", "full", {}, "norm", 1)
        entrant = Entrant(code, candidate, "", "", Recipe())
        record = StageRecord("", entrant.network, correct, 100, parameters=parameters)
        for kind in ("first", "rung1", *(["final0"] if code in began else [])):
            key = f"{kind}-{entrant.network}"
            record = journal.add(replace(record, key=key), b"weights")
        field.append((entrant, record))
    monkeypatch.setattr(standings, "standings", lambda *_: field)
    request = make_request(Config(), 1.0, tmp_path / "best", tmp_path, objectives=objectives)
    found = standings.in_final(request, journal)
    assert "".join(entrant.title for entrant, _ in found) == expected


def test_the_parts_of_a_training_follow_one_learning_rate() -> None:
    recipe, parts = Recipe(lr=0.3), 7
    whole = recipe.stage(100, 0, 1.0).schedule
    assert max(value for _, value in whole) == pytest.approx(0.3)
    assert whole[0][1] == whole[-1][1] == 0.0
    for part in range(parts):
        schedule = recipe.stage(100, 0, 1.0, part / parts, (part + 1) / parts).schedule
        assert (schedule[0][0], schedule[-1][0]) == (0.0, 1.0)
        for progress in (0.0, 0.3, 0.9, 1.0):
            expected = rate(whole, (part + progress) / parts)
            assert rate(schedule, progress) == pytest.approx(expected, abs=1e-9)


def rate(schedule: tuple[tuple[float, float], ...], progress: float) -> float:
    points, rates = zip(*schedule, strict=True)
    return float(np.interp(progress, points, rates))


def test_a_killed_search_finds_its_whole_stages_and_their_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 60.0, time.monotonic() - 20)
    journal.add(StageRecord("first-a", "a", correct=3, total=4), b"weights")
    journal.add(StageRecord("first-b", "b", refused="it failed"), None)
    with (tmp_path / "stages.jsonl").open("ab") as file:
        file.write(b'{"key": "first-c", "netw')  # killed while it wrote
    again = Journal(tmp_path, 60.0, time.monotonic())
    assert set(again.stages) == {"first-a", "first-b"}
    assert again.stages["first-a"].accuracy == 0.75
    assert again.state("first-a") == b"weights"
    assert 20 <= again.spent < 60
    again.add(StageRecord("first-c", "c", correct=1, total=1), b"more")
    assert set(Journal(tmp_path, 60.0, time.monotonic()).stages) == {
        "first-a",
        "first-b",
        "first-c",
    }


def test_every_network_of_the_portfolio_passes_the_contract(tmp_path: Path) -> None:
    reader = make_reader(Config(prompt={"template": "full"}), mnist.create(None))
    for network in read_portfolio():
        found = reader.read(answer_of(network))
        assert isinstance(found, Candidate), (network.name, found)


def largest(networks: Sequence[PortfolioNetwork], count: int) -> list[PortfolioNetwork]:
    return sorted(networks, key=lambda one: (-one.parameters, one.name))[:count]


def test_limits_and_objectives_choose_from_the_portfolio() -> None:
    portfolio = read_portfolio()
    sizes = sorted(one.parameters for one in portfolio)
    middle = sizes[(len(sizes) - 1) // 2]

    def chosen(count: int, *objectives: str, most: int | None = None) -> list[int]:
        names = ("accuracy", *objectives)
        return [one.parameters for one in choose_for(names, most, portfolio, count, largest)]

    assert chosen(6) == sizes[:-7:-1]
    assert chosen(1, most=middle) == [middle]
    assert sorted(chosen(4, "macs", most=1)) == sizes[:4]
    assert chosen(3, "parameters") == [*sizes[:-3:-1], middle]
    assert sorted(chosen(len(sizes), "latency")) == sizes


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "stages.jsonl").write_text("what\n")
    with pytest.raises(UserError, match="is damaged"):
        Journal(tmp_path, 60.0, time.monotonic())
