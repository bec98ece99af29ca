"""The benchmark on NAS-Bench-201: policies, rows that resume, regret and its report."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmark_modules import load, run

from nngpt import config
from nngpt.data.nasbench201 import Table, index


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("nasbench201", monkeypatch)


def test_searches_use_their_budget_and_get_better(benchmark: ModuleType, table: Table) -> None:
    last = {}
    for name, policy in benchmark.cells.POLICIES.items():
        curves = []
        for seed in range(1 if name.endswith("tpe") or name == "reading" else 8):
            search = benchmark.cells.Search(table, 60, random.Random(seed))
            policy(search)
            trace = [(index(cell), observed) for cell, observed in search.trace]
            assert len(trace) == 60
            curve = benchmark.regret.regrets(trace, table)
            assert len(curve) == 60 and min(curve) >= 0
            curves.append(curve[-1])
            if name.startswith("novel") or name in (
                "mutate",
                "local",
                "counts-10",
                "process",
                "reading",
            ):
                assert len({cell for cell, _ in trace}) == 60
        last[name] = sum(curves) / len(curves)
    assert last["novel-evolution"] < last["random"] and last["local"] < last["random"]
    assert last["mutate"] < last["random"]
    assert last["counts-10"] < last["counts"] < last["random"]
    assert last["process"] < last["mutate"] and last["reading"] < last["random"]


def test_every_policy_has_a_name(benchmark: ModuleType) -> None:
    assert set(benchmark.regret.TITLES) == {*benchmark.LOOPS, *benchmark.cells.POLICIES}


def test_neighbours_differ_in_one_operation(benchmark: ModuleType) -> None:
    cell = (0, 1, 2, 3, 4, 0)
    found = benchmark.cells.neighbours(cell)
    assert len(set(found)) == 24
    assert all(sum(a != b for a, b in zip(cell, one, strict=True)) == 1 for one in found)


def test_regret_is_of_the_best_observed_cell(benchmark: ModuleType, table: Table) -> None:
    means = table.means
    trace = [(5, 20.0), (6, 10.0), (7, 30.0)]
    top = means.max()
    expected = [top - means[5], top - means[5], top - means[7]]
    assert benchmark.regret.regrets(trace, table) == pytest.approx(expected)


def test_noise_leaves_a_regret_after_a_look_up_of_every_cell(
    benchmark: ModuleType,
) -> None:
    chance, left = np.random.default_rng(0), list[float]()
    figures = chance.uniform(0, 3, (300, 3, 4)) + chance.uniform(0, 3, (300, 1, 4))
    figures[::2, 2] = np.nan
    table = Table(figures, 1000)
    accuracies, means = table.figures[:, :, 0], table.means
    for _ in range(1000):
        drawn = (chance.random(len(means)) * (~np.isnan(accuracies)).sum(1)).astype(int)
        best = np.argmax(accuracies[np.arange(len(means)), drawn])
        left.append(float(means.max() - means[best]))
    error = np.std(left) / len(left) ** 0.5
    assert 0 < benchmark.regret.floor(table) == pytest.approx(np.mean(left), abs=4 * error)


def test_rows_resume_and_are_reported(
    benchmark: ModuleType,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, figure = tmp_path / "rows.jsonl", tmp_path / "f.svg"
    begin = ("run", "--out", rows, "--tables", "cifar10", "--policies", "random", "evolution")
    run(benchmark, monkeypatch, *begin, "--seeds", 1, 2)
    first = rows.read_text()
    run(benchmark, monkeypatch, *begin, "--seeds", 1, 2, 3, 100)
    assert rows.read_text().startswith(first)
    made = [json.loads(line) for line in rows.read_text().splitlines()]
    assert len(made) == 8 and all(len(row["trace"]) == 100 for row in made)
    capsys.readouterr()
    run(benchmark, monkeypatch, "report", rows, "--figure", figure)
    printed = capsys.readouterr().out
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(rows.read_bytes()))
    run(benchmark, monkeypatch, "report", packed)
    assert capsys.readouterr().out == printed
    assert "| random search | 4 | – |" in printed and "CIFAR-10, 100" in printed
    assert figure.read_text().count("<path") > 4
    loops = [{**row, "policy": "loop", "configuration": "a"} for row in made[:6:2]]
    loops[1]["trace"] = loops[1]["trace"][:50]
    rows.write_text("".join(json.dumps(row) + "\n" for row in [*made, *loops]))
    run(benchmark, monkeypatch, "report", rows)
    printed = capsys.readouterr().out
    assert "1 rows of loop have too few look-ups" in printed and "| CIFAR-10 | regul" in printed
    other = {**loops[0], "seed": 9, "configuration": "b"}
    rows.write_text(rows.read_text() + json.dumps(other) + "\n")
    with pytest.raises(SystemExit, match="rows of loop have different configurations"):
        run(benchmark, monkeypatch, "report", rows)
    run(benchmark, monkeypatch, "report", rows, "--choosing")
    assert "loop" not in capsys.readouterr().out.replace("the loop,", "")


def test_ratios_and_corrected_chances(benchmark: ModuleType) -> None:
    half = [[n / 10] for n in range(1, 30)]
    found = benchmark.regret.ratio(half, [[2 * x] for (x,) in half])
    assert found.value == pytest.approx(0.5) and found.low < 0.5 < found.high < 1
    assert found.p < 0.05 < benchmark.regret.ratio(half, half).p
    assert benchmark.regret.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_recipes_are_chosen_on_other_seeds(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--set", "learning.epochs=3")
    loop, table = ("--policies", "loop"), ("--tables", "cifar10")
    for words in (
        (*loop, *table, "--seeds", 1),
        ("--policies", "random", *table, "--seeds", 100),
        (*loop, "--tables", "cifar100", "--seeds", 100),
    ):
        with pytest.raises(SystemExit):
            run(benchmark, monkeypatch, "run", "--out", "x", *words, *chosen)
        assert "seeds from 100 on" in capsys.readouterr().err


def test_a_run_of_the_loop_is_a_row(
    benchmark: ModuleType, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [json.dumps(f"D D D {a} {b} C") for a in "ABCDE" for b in "ABCDE"]
    script = tmp_path / "cells.jsonl"
    script.write_text("".join(json.dumps({"text": cell}) + "\n" for cell in cells))
    monkeypatch.setattr(benchmark, "LOOK_UPS", 12)
    settings = (
        *("llm.backend=scripted", f"llm.options.script={script}", "sampling.constrain=false"),
        *("candidates.per_cycle=10", "candidates.best_of=1", "candidates.mutations=0"),
    )
    job = benchmark.Job("cifar10", 100, "no-tuning", settings)
    assert not config.load("nasbench201", benchmark.LOOPS["no-tuning"]).learning.enabled
    row = benchmark.made(job, tmp_path)
    assert len(row["trace"]) == len({cell for cell, _ in row["trace"]}) == 12
    assert not list(tmp_path.glob(".no-tuning*"))
    assert len(row["configuration"]) == 16 and set(row["random_changes"]) <= set(range(12))
    assert json.loads(json.dumps(row))["settings"] == list(settings)
