"""The benchmark of levers: settings that load, rows that resume, differences by seed."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from benchmark_modules import BENCHMARKS, load, run

from nngpt import config
from nngpt.data.nasbench201 import Table


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("levers", monkeypatch)


def test_every_lever_is_another_configuration(benchmark: ModuleType) -> None:
    found = {
        name: str(config.identity_of(config.load("nasbench201", list(benchmark.settings(name)))))
        for name in benchmark.LEVERS
    }
    assert len(set(found.values())) == len(found) > 10


def test_every_lever_is_explained(benchmark: ModuleType) -> None:
    page = (BENCHMARKS.parent / "docs/results/levers/README.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in benchmark.LEVERS if name != "plain")


def test_differences_are_by_seed(
    benchmark: ModuleType,
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    order = sorted(range(len(table.means)), key=lambda cell: float(table.means[cell]))

    def row(lever: str, seed: int, rank: int) -> dict[str, object]:
        cell = order[rank]
        trace = [[cell, float(table.means[cell])]] * 100
        made = {"settings": list(benchmark.settings(lever)), "seed": seed, "table": "cifar10"}
        return {**made, "trace": trace, "random_changes": [1, 70, 71, 99], "cpu_s": 5.0}

    made = [row("plain", 120, 90), row("memory", 121, 300), row("plain", 121, 200)]
    made += [row("memory", 120, 100), row("dpo", 120, 95), {**row("dpo", 120, 0), "settings": []}]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(one) + "\n" for one in made))
    run(benchmark, monkeypatch, "report", rows)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    name, seeds, regret, beside, accuracy, more, written, gain, changes, spent = (
        cell.strip() for cell in lines[2].strip("|").split("|")
    )
    means = table.means
    gains = [means[order[100]] - means[order[90]], means[order[300]] - means[order[200]]]
    assert (name, seeds, changes, spent) == ("memory", "2", "9%", "5")
    assert float(beside.split()[0]) == pytest.approx(-sum(gains) / 2, abs=0.01)
    assert float(more.split()[0]) == pytest.approx(sum(gains) / 2, abs=0.1)
    assert (written, gain) == (accuracy, more)
    assert float(regret.split()[0]) > 0 and float(accuracy.split()[0]) > 0
    assert "[" not in lines[3].split("|")[4]  # one seed has no interval


def test_rows_that_are_there_are_not_made_again(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = []
    monkeypatch.setattr(
        benchmark,
        "made",
        lambda job, _: jobs.append(job) or {"settings": job.settings, "seed": job.seed, "cpu_s": 1},
    )
    words = ("run", "--out", tmp_path / "rows.jsonl", "--levers", "plain", "memory")
    run(benchmark, monkeypatch, *words, "--seeds", 120)
    run(benchmark, monkeypatch, *words, "--seeds", 120, 121)
    assert [job.seed for job in jobs] == [120, 120, 121, 121]
    with pytest.raises(SystemExit):
        run(benchmark, monkeypatch, *words, "--seeds", 1)
