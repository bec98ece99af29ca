"""The papers' tables beside our results (benchmarks/papers_tables.py), and arms with data sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from benchmark_modules import load, run
from command_line import ANSWERS, ROOT, run_nngpt, write_bright_and_dark
from quick_runs import SETTINGS, write_answers

from nngpt.records import Stage
from nngpt.reports.sheets import plain
from nngpt.statistics import percent_of
from nngpt.store import Store

Tables = Callable[..., tuple[list[list[str]], str]]
PAPER_CYCLES = ("1", "5", "10", "15", "18", "22")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tables:
    """Runs the benchmark with some words and returns the rows of its tables, cell by cell."""
    benchmark = load("papers_tables", monkeypatch)

    def call(*words: object) -> tuple[list[list[str]], str]:
        run(benchmark, monkeypatch, *words)
        text = capsys.readouterr().out
        lines = [line for line in text.splitlines() if line.startswith("| ")]
        return [line.strip("| ").split(" | ") for line in lines], text

    return call


def test_a_run_stands_beside_the_paper_s_cells(finished: Path, tables: Tables) -> None:
    rows, text = tables("3", "--run", "smoke-mnist", "--folder", finished / "runs")
    with Store.open(finished / "runs" / "nngpt.db", create=False) as store:
        (summary,) = store.summary(store.run("smoke-mnist").id)
    papers = [row for row in rows if row[1] == "paper"]
    assert [row[0] for row in papers] == [*PAPER_CYCLES]
    assert papers[-1] == ["22", "paper", "41.8%", "57.62%", "49.48%", "92.86%", "30", "2153"]
    (ours,) = [row for row in rows if row[1] == "smoke-mnist"]
    assert summary.valid and not summary.refused.get(Stage.DUPLICATE)
    above = sum(value >= 0.5 for value in summary.accuracies)
    assert ours[0] == "1"
    assert ours[2] == plain(percent_of(summary.valid, summary.generated))
    assert summary.best and ours[3].startswith(f"{summary.best.accuracy:.1%} ")
    assert ours[4].startswith(f"{sum(summary.accuracies) / summary.valid:.1%} ")
    assert ours[5:] == [plain(percent_of(above, summary.valid)), str(summary.admitted), "0"]
    assert "smoke-mnist: mnist, threshold 50%, 1 cycle;" in text


def test_without_results_the_commands_are_named(tmp_path: Path, tables: Tables) -> None:
    rows, text = tables("--folder", tmp_path)
    assert {row[1] for row in rows} == {"whose", "paper"}
    assert len(rows) == 5 + 3 * len(PAPER_CYCLES) + 3 * 2 + 4
    for command in ("cycle run paper-svhn", "experiment run cross-datasets"):
        assert f"nngpt {command}" in text
    with pytest.raises(SystemExit, match=f"{tmp_path}.*no such database"):
        tables("3", "--run", "mine", "--folder", tmp_path)


def test_arms_of_an_experiment_may_have_data_sets_of_their_own(
    tmp_path: Path, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, ANSWERS)
    write_bright_and_dark(tmp_path / "images")
    grid = {
        "name": "two",
        "config": "smoke-mnist",
        "arms": {
            "mnist": {"task.dataset": "mnist", "task.threshold": 0.4},
            "mine": {"task.dataset": str(tmp_path / "images"), "task.threshold": 0.6},
            "novel": {"without": ["novelty"]},
        },
    }
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    given = [each for each in SETTINGS if "threshold" not in each and "_limit" not in each]
    given += ["candidates.per_cycle=6", "llm.batch_size=6", "cycles=2", "task.train_limit=60"]
    overrides = [word for each in given for word in ("--set", each)]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    for command in (["run"], ["compare", "--json"]):
        done = run_nngpt(tmp_path, ["experiment", *command, "two.yaml", *overrides], **path)
        assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["arm"]: one["dataset"] for one in found["runs"]}["mine"].endswith("/images")
    compared = {(each["name"], each["base"]) for each in found["differences"]}
    assert compared == {("novel", "mnist")}, "accuracies on two data sets do not compare"
    rows, _ = tables("5", "--grid", "two.yaml", *overrides)
    ours = [row[1:4] for row in rows if row[1] in grid["arms"]]
    assert ours[:4] == [
        ["mnist", "40%", "1"],
        ["mnist", "40%", "2"],
        ["mine", "60%", "1"],
        ["mine", "60%", "2"],
    ]
    rows, _ = tables("7", "--grid", "two.yaml", *overrides)
    assert [row[0] for row in rows if row[1] == "ours, 1 run"] == ["mnist", "mine", "novel"]
