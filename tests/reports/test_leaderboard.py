"""`nngpt leaderboard`, `nngpt cycle list` and the rows behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Nngpt
from report_samples import confirm, three_arms
from store_samples import TASK, bring_to_training, evaluation, open_new, start, write

from nngpt.reports.analysis.rows import read_places, read_rows
from nngpt.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: three arms on CIFAR-10, and one network on a folder of images."""
    folder = tmp_path_factory.mktemp("runs")
    with open_new(folder / "nngpt.db") as store:
        run = three_arms(store)
        confirm(store, run)
        other = start(store, "birds", task={"dataset": "image-folder", "root": "my/birds"})
        with store.lease(other.id) as lease:
            small, large = write(lease, 2)
            for attempt, size in ((small, 100), (large, 9000)):
                bring_to_training(lease, attempt, f"class Net: {attempt}\n")
                found = replace(evaluation(0.9), claimed_parameters=size, trials=())
                lease.trained(attempt, found, TASK)
    return folder


def test_each_data_set_has_its_own_ranks(folder: Path) -> None:
    with Store.open(folder / "nngpt.db") as store:
        places = read_places(store, store.runs())
        rows = read_rows(store, store.run("demo"))
    cifar = [place for place in places if place.row.dataset == "cifar10"]
    birds = [place for place in places if place.row.dataset == "my/birds"]
    assert [*cifar, *birds] == places
    best = [place.row.accuracy for place in cifar]
    assert best == sorted(best, reverse=True) and best[0] == 0.8
    assert [place.rank for place in cifar] == list(range(1, len(cifar) + 1))
    assert [place.front for place in birds] == [True, False]  # as accurate, but larger
    first = cifar[0].row
    assert first.low is not None and first.high is not None and first.test_accuracy == 0.9
    assert (first.low < 0.8 < first.high, first.novelty) == (True, 0.75)
    refused = [row for row in rows if row.stage == "parse"]
    assert refused and all(row.accuracy is None and row.reason for row in refused)


def test_the_command(folder: Path, call_nngpt: Nngpt) -> None:
    here = ("--folder", folder)
    told = json.loads(call_nngpt("leaderboard", "--json", "--top", "2", *here).stdout)
    assert [(one["dataset"], one["rank"]) for one in told] == [
        *(("cifar10", 1), ("cifar10", 2), ("my/birds", 1), ("my/birds", 2)),
    ]
    of_one = json.loads(call_nngpt("leaderboard", "birds", "--json", *here).stdout)
    assert [one["parameters"] for one in of_one] == [100, 9000]
    printed = call_nngpt("leaderboard", folder, "--top", "1").stdout
    assert "80.0% [71.1–86.7]" in printed and "90.0%" in printed and "my/birds" in printed
    assert "more networks with --top" in " ".join(printed.split())
    wrong = call_nngpt("leaderboard", "bird", *here)
    assert (wrong.returncode, "Did you mean 'birds'" in wrong.stderr) == (2, True)


def test_the_list_of_runs_has_data_set_and_best_accuracy(folder: Path, call_nngpt: Nngpt) -> None:
    told = json.loads(call_nngpt("cycle", "list", "--json", "--folder", folder).stdout)
    assert [(run["dataset"], run["best_accuracy"]) for run in told] == [
        *(("cifar10", 0.8), ("my/birds", 0.9)),
    ]
    printed = call_nngpt("cycle", "list", "--folder", folder).stdout
    assert "my/birds" in printed and "90.0%" in printed
