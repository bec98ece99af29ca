"""NAS-Bench-201: tables, look-ups and the prompt mode of its cells."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from nngpt import config, files, plugins
from nngpt.config import Config
from nngpt.cycle.parts import open_evaluator
from nngpt.data import nasbench201
from nngpt.data.loading import data_source
from nngpt.data.nasbench201 import Cell, Table
from nngpt.downloads import silent
from nngpt.errors import DataError, UserError
from nngpt.generation import contract
from nngpt.protocols import Executor
from nngpt.records import Candidate, Evaluation, Refusal, Stage


def settings(*overrides: str) -> Config:
    return config.load("nasbench201", overrides)


def candidate(cell: str) -> Candidate:
    """Return the cell's network, as the run's reader makes it."""
    chosen = settings()
    reader = contract.make_reader(chosen, data_source(chosen))
    found = reader.read(f'"{cell}"')
    assert isinstance(found, Candidate), found
    return found


def executor(table: Table, *overrides: str) -> Executor:
    with open_evaluator(settings(*overrides), silent) as (_, opened):
        return opened


def test_a_look_up_is_one_of_the_trainings(table: Table) -> None:
    looked_up, cell = executor(table), candidate("D D D B D B")
    assert isinstance(looked_up, Executor)
    outcomes = [looked_up.evaluate(cell, seed) for seed in range(20)]
    rows = table.figures[nasbench201.index((3, 3, 3, 1, 3, 1))]
    found = {round(o.accuracy * 100, 3) for o in outcomes if isinstance(o, Evaluation)}
    assert found == {round(accuracy, 3) for accuracy in rows[:, 0] if not np.isnan(accuracy)}
    assert outcomes == [looked_up.evaluate(cell, seed) for seed in range(20)]
    first = outcomes[0]
    assert isinstance(first, Evaluation)
    assert first.seconds == first.epochs[-1].seconds == rows[0, 1]
    assert first.claimed_parameters == round(rows[0, 3] * 1e6)
    assert (first.epochs[-1].epoch, first.epochs[-1].total) == (200, 25_000)
    assert looked_up.retrain(cell, 1).accuracy is None


def test_budgets_and_other_networks_are_refused(table: Table) -> None:
    looked_up = executor(table, "task.max_parameters=1000")
    over = looked_up.evaluate(candidate("D D D B D B"), 1)
    assert (
        isinstance(over, Refusal) and over.stage is Stage.BUILD and "budget is 1,000" in over.reason
    )
    slow = executor(table, "task.max_latency_ms=0.001").evaluate(candidate("D D D B D B"), 1)
    assert isinstance(slow, Refusal) and slow.stage is Stage.FORWARD and "0.001 ms" in slow.reason
    other = replace(candidate("A A A A A A"), written="16, 3)\n)")
    assert looked_up.evaluate(other, 1) == Refusal(Stage.BUILD, "not a cell of NAS-Bench-201")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("evaluation.epochs=1", "evaluation.epochs: .* need 200"),
        ("evaluation.retrain=true", "evaluation.retrain: .* need false"),
        ("evaluation.folds=2", "evaluation.folds: .* need null"),
        ("evaluation.budget_s=9", "evaluation.budget_s: .* need null"),
        ("evaluation.early_stop=true", "early_stop needs epochs of 2 to 50"),
        ("evaluation.executor=local", "nasbench201-cifar10 has no images to train on"),
        ("task.options.table=cifar", "task.options.table"),
        ("task.root=.", "tables come from a package"),
    ],
)
def test_what_the_table_does_not_hold_is_refused(change: str, message: str, table: Table) -> None:
    with pytest.raises(UserError, match=message):
        executor(table, change)


@pytest.mark.parametrize(
    "text", ["", '"D D D"', '"D D D B D F"', "D D D B D C", '["D"]', '"D D D B D C" x']
)
def test_answers_that_are_no_cell(text: str, table: Table) -> None:
    chosen = settings()
    found = contract.make_reader(chosen, data_source(chosen)).read(text)
    assert isinstance(found, Refusal) and found.stage is Stage.PARSE


def test_a_cell_is_a_network_that_computes_what_it_says(table: Table) -> None:
    import torch

    names: dict[str, object] = {}
    exec(compile(candidate("D B C D A B").code, "cell", "exec"), names)  # our own template
    network = names["Net"]((1, 3, 32, 32), (10,), {"lr": 0.1, "momentum": 0.9}, "cpu")  # type: ignore[operator]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_isomorphic_cells_have_one_text() -> None:
    cells = [Cell.of(numbers) for numbers in product(range(5), repeat=6)]
    assert len({cell.unique for cell in cells}) == 4930
    # A node that only passes its input on may stand anywhere.
    assert Cell("B A D A A D").unique == Cell("A D A A A D").unique
    sums = ("D B B B A B", "B D A B B B")  # a sum within a sum, and one sum
    assert {Cell(cell).unique for cell in sums} == {"D(in)+in+in"}
    assert Cell("D A A A A A").unique == Cell("A A A A A A").unique == "nothing"


def test_one_letter_is_changed(table: Table) -> None:
    from random import Random

    from nngpt.generation import modes
    from nngpt.protocols import AnswersJson, ChangesAnswers

    mode = modes.load("cell")
    assert isinstance(mode, ChangesAnswers) and isinstance(mode, AnswersJson)
    assert "description" not in mode.schema, "servers are told nothing about cells"
    before = "D D D B D C"
    for seed in range(30):
        after = Cell.model_validate_json(mode.changed(f'"{before}"', 1, Random(seed))).root
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        child = Cell.model_validate_json(mode.crossed(f'"{before}"', '"A B A B A B"', Random(seed)))
        parents = zip(before.split(), "ABABAB", strict=True)
        assert all(a in pair for a, pair in zip(child.root.split(), parents, strict=True))


def test_pickles_that_name_anything_are_refused() -> None:
    with pytest.raises(DataError, match=r"names collections.OrderedDict"):
        nasbench201.parse(pickle.dumps(OrderedDict()))
    with pytest.raises(DataError, match="data set mnist: is no table"):
        nasbench201.open_table("mnist")
    with pytest.raises(DataError, match="lacks cells"):
        nasbench201.parse(pickle.dumps({}))


def test_a_damaged_table_is_found(table: Table) -> None:
    path = files.cache_folder() / "data" / "nasbench201-cifar10" / "table.npy"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="wrong checksum"):
        executor(table)


def test_the_real_tables(tmp_path: Path) -> None:
    best = {"cifar10": 91.6067, "cifar100": 73.4933, "imagenet16-120": 46.7333}
    for name, accuracy in best.items():
        source = plugins.create("data set", "nasbench201", None, options={"table": name})
        if not source.available():
            pytest.skip("not in the cache (nngpt data pull nasbench201)")
        found = nasbench201.open_table(source.name)
        assert found.means.max() == pytest.approx(accuracy, abs=1e-4)
        correct = found.figures[:, :, 0] / 100 * found.images
        assert np.nanmax(abs(correct - correct.round())) < 1e-4
