"""Experiments: grids, runs as processes of their own, and comparisons."""

from __future__ import annotations

import json
import math
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from subprocess import CompletedProcess

import pytest
import yaml
from command_line import ANSWERS, ROOT, begin_nngpt, run_nngpt
from quick_runs import SETTINGS, write_answers
from scipy.stats import t

from nngpt.cycle import experiment
from nngpt.cycle.meter import TimeLimit
from nngpt.errors import ConfigError
from nngpt.records import Arm
from nngpt.reports.experiment.figures import Cycle, RunFigures, differences
from nngpt.reports.experiment.sheets import sheets, verdict
from nngpt.statistics import Difference, newcombe, welch
from nngpt.store import Store

FILES = ["--out", "found.md", "--figure", "found.png"]
HERE = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}


def write_grid(folder: Path, *seeds: int) -> None:
    """An experiment of two arms that takes seconds."""
    write_answers(folder, ANSWERS)
    given = dict(setting.split("=", 1) for setting in SETTINGS)
    shared = {**given, "candidates.per_cycle": 6, "llm.batch_size": 6, "cycles": 1}
    shared |= {key: float(shared[key]) for key in ("task.threshold",)}
    shared |= {key: int(shared[key]) for key in ("task.train_limit", "task.validation_limit")}
    made = {
        "name": "tiny",
        "config": "smoke-mnist",
        "set": shared,
        "arms": {"full": None, "no-novelty": {"without": ["novelty"]}},
        "seeds": list(seeds),
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(made, sort_keys=False))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with an experiment of two runs."""
    write_grid(tmp_path, 1)
    return tmp_path


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompletedProcess[str]]:
    """A folder with an experiment of four runs, and the output of `experiment run`."""
    folder = tmp_path_factory.mktemp("experiment")
    write_grid(folder, 1, 2)
    done = run_nngpt(folder, ["experiment", "run", "tiny.yaml", *FILES], **HERE)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def finished(first: tuple[Path, CompletedProcess[str]], tmp_path: Path) -> Path:
    """A copy of the finished experiment in this test's folder."""
    shutil.copytree(first[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_each_run_is_run_once_and_compared(
    first: tuple[Path, CompletedProcess[str]], finished: Path
) -> None:
    assert "Run 4 of 4: arm no-novelty, seed 2" in first[1].stderr
    assert "Differences from the first arm" in first[1].stdout
    with Store.open(finished / "runs" / "nngpt.db", create=False) as store:
        names = [run.name for run in store.runs()]
    assert names == ["tiny-full-s1", "tiny-no-novelty-s1", "tiny-full-s2", "tiny-no-novelty-s2"]
    again = run_nngpt(finished, ["experiment", "run", "tiny.yaml", "--json"], **HERE)
    assert "Run 1" not in again.stderr, "nothing is run twice"
    found = json.loads(again.stdout)
    admitted = {(run["arm"], run["seed"]): run["admitted"] for run in found["runs"]}
    assert admitted["no-novelty", 1] == admitted["full", 1] + 1
    novel = {(run["arm"], run["seed"]): run["novel"] for run in found["runs"]}
    assert novel["no-novelty", 1] == novel["full", 1]
    page = (finished / "found.md").read_text()
    assert page.count("### ") == 3 and "no-novelty − full" in page
    assert (finished / "found.png").read_bytes().startswith(b"\x89PNG")
    wrong = ["experiment", "compare", "tiny.yaml", "--figure", "found.what"]
    refused = run_nngpt(finished, wrong, **HERE)
    assert refused.returncode == 2 and "found.what: cannot be written" in refused.stderr


def test_a_time_limit_leaves_runs_for_later(small: Path) -> None:
    begun = ["experiment", "run", "tiny.yaml", "--budget-minutes", "0.1"]
    found = run_nngpt(small, ["experiment", "compare", "tiny.yaml"], **HERE)
    assert found.returncode == 2 and "none of its runs has begun" in found.stderr
    assert run_nngpt(small, begun, **HERE).returncode in (0, 2)
    done = run_nngpt(small, ["experiment", "run", "tiny.yaml"], **HERE)
    assert done.returncode == 0, done.stderr


def test_what_a_run_prints_goes_to_stderr(
    small: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stdout is for the comparison, which scripts read as JSON."""
    monkeypatch.chdir(small)
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    loaded, _ = experiment.load_grid("tiny.yaml")
    experiment.run_all(loaded, experiment.cells(loaded, ()), TimeLimit(None), lambda _: None)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.startswith("-m nngpt cycle run smoke-mnist --set ")


def test_a_failed_run_is_named(small: Path) -> None:
    (small / "answers.jsonl").unlink()
    failed = run_nngpt(small, ["experiment", "run", "tiny.yaml"], **HERE)
    assert failed.returncode == 2
    assert "nngpt: arm full, seed 1: this run ended with exit code 2" in failed.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arms": {}}, "arms:"),
        ({"amrs": {}}, "unknown key 'amrs'. Did you mean 'arms'?"),
        ({"arms": {"a b": None}}, "'a b' is no name"),
        ({"arms": {"bad": {"cycels": 3}}}, "arm bad:"),
        ({"config": "smoke-minst"}, "Did you mean 'smoke-mnist'"),
        ({"seeds": [1, 1]}, "a seed is given twice"),
    ],
)
def test_mistakes_in_a_grid_are_named(small: Path, change: dict[str, object], said: str) -> None:
    path = small / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(ConfigError) as error:
        experiment.cells(experiment.load_grid(str(path))[0])
    assert said in error.value.line()


def test_overrides_that_would_mix_runs_are_refused(finished: Path) -> None:
    loaded, _ = experiment.load_grid(str(finished / "tiny.yaml"))
    with pytest.raises(ConfigError, match="'seed=3' would make all runs one"):
        experiment.cells(loaded, ("seed=3",))
    for command in ("run", "compare"):
        other = ["experiment", command, "tiny.yaml", "--set", "sampling.temperature=0.9"]
        refused = run_nngpt(finished, other, **HERE)
        assert refused.returncode == 2
        assert "arm full, seed 1: run 1 'tiny-full-s1' began with other settings" in refused.stderr


def test_sigterm_lets_the_run_save_its_work(small: Path) -> None:
    """The running run is stopped like by Ctrl-C, not killed: nothing stays in training."""
    begun = begin_nngpt(small, ["experiment", "run", "tiny.yaml"], **HERE)
    begun.wait_for("#1")
    begun.send_signal(signal.SIGTERM)
    stopped = begun.wait(60)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert "Stopped. The same command resumes." in stopped.stderr
    done = run_nngpt(small, ["experiment", "run", "tiny.yaml"], **HERE)
    assert done.returncode == 0, done.stderr


def figures(arm: str, seed: int, *accuracies: float, above: int, written: int) -> RunFigures:
    first = Cycle(1, 1, accuracies[:-2], 0)
    second = Cycle(2, written - 1, accuracies[-2:], above)
    return RunFigures(arm, Arm.LOOP, seed, (first, second), 1, 1, 60)


ONE = [
    figures("full", 1, 0.5, 0.6, 0.7, above=2, written=4),
    figures("full", 2, 0.6, 0.6, 0.8, above=3, written=4),
]
OTHER = [
    figures("less", 1, 0.3, 0.4, above=0, written=4),
    figures("less", 2, 0.3, 0.5, above=1, written=4),
]


def test_differences_have_both_intervals() -> None:
    found = {difference.what: difference for difference in differences([*ONE, *OTHER])}
    valid = found["valid"]
    assert valid.over_networks == Difference(*newcombe((4, 8), (6, 8)), 8, other_count=8)
    assert valid.by_seed == (2 / 4 - 3 / 4, 2 / 4 - 3 / 4)
    above = found["above the threshold"]
    assert above.over_networks == Difference(*newcombe((1, 8), (5, 8)), 8, other_count=8)
    mean = found["mean accuracy"]
    expected = welch([0.3, 0.4, 0.3, 0.5], [0.5, 0.6, 0.7, 0.6, 0.6, 0.8])
    assert (mean.over_networks.value, mean.over_networks.interval) == expected
    by_seed = (0.35 - 0.6, 0.4 - 2 / 3)
    assert mean.by_seed == pytest.approx(by_seed)
    assert mean.over_seeds is None, "two seeds have no interval"
    assert verdict(mean) == "only over networks: too few seeds"
    assert verdict(valid) == "no difference shown"


def test_three_seeds_have_an_interval() -> None:
    both = [*ONE, replace(ONE[1], seed=3), *OTHER, replace(OTHER[0], seed=3)]
    found = {d.what: d for d in differences(sorted(both, key=lambda run: run.arm))}
    mean = found["mean accuracy"]
    half = t.ppf(0.975, 2) * stdev(mean.by_seed) / math.sqrt(3)
    centre = fmean(mean.by_seed)
    assert mean.over_seeds == pytest.approx((centre - half, centre + half))
    assert verdict(mean) == "differ"
    (_, table, _) = sheets(both, list(found.values()))
    assert "Not corrected for 4 comparisons" in table.note


def test_answers_that_were_not_trained_count_as_chance() -> None:
    def run(arm: str, *last: float) -> RunFigures:
        cycles = [Cycle(number, 4, (0.5, 0.5), 0) for number in range(1, 4)]
        cycles += [Cycle(number, 4, last, 0) for number in (4, 5)]
        return RunFigures(arm, Arm.LOOP, 1, tuple(cycles), 1, 1, 60, chance=0.1)

    one, other = run("full", 0.7, 0.7, 0.7, 0.7), run("less", 0.9)
    assert len(one.last_third.by_cycle) == 2 and one.last_third.by_cycle[0].number == 4
    found = {d.what: d for d in differences([one, other])}
    late = found["mean accuracy, all answers, last third"]
    assert late.by_seed == pytest.approx([(0.9 + 3 * 0.1) / 4 - 0.7])
    assert late.over_networks.value == pytest.approx(late.by_seed[0])
    assert found["mean accuracy, last third"].by_seed == pytest.approx([0.9 - 0.7])
    every = found["mean accuracy, all answers"]
    means = [(6 * 0.5 + 6 * 0.1 + 8 * x) / 20 for x in (0.7, (0.9 + 3 * 0.1) / 4)]
    assert every.by_seed == pytest.approx([means[1] - means[0]])
    unknown = [replace(one, chance=None), replace(other, chance=None)]
    assert "mean accuracy, all answers" not in {d.what for d in differences(unknown)}


def test_one_seed_and_no_valid_network_have_their_own_verdicts() -> None:
    found = differences([ONE[0], OTHER[0]])
    assert {verdict(difference) for difference in found} <= {
        "only over networks: too few seeds",
        "no difference shown",
    }
    nothing = figures("none", 1, above=0, written=4)
    shared = ["valid", "above the threshold"]
    assert [d.what for d in differences([ONE[0], nothing])] == shared
    assert differences(ONE) == []
    tables = sheets([ONE[0], nothing], differences([ONE[0], nothing]))
    assert [table.title for table in tables] == ["Arms", "Differences from the first arm", "Runs"]
