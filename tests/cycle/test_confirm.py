"""`nngpt cycle confirm`: real runs, real images, real kills."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from command_line import Nngpt, begin_nngpt

from nngpt import config, files
from nngpt.config import Config
from nngpt.cycle.confirm import ConfirmationPlan
from nngpt.data.loading import data_source
from nngpt.data.splits import Part, Splits
from nngpt.reports.analysis.full_training import reliability
from nngpt.store import Confirmation, Store

QUICK = ("cycle", "confirm", "--epochs", "2", "--train-limit", "300")


@pytest.fixture
def one_run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, with four trained candidates, in this test's folder."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def confirmations(folder: Path) -> list[Confirmation]:
    with Store.open(folder / "runs" / "nngpt.db", create=False) as store:
        return store.confirmations(1)


def test_full_trainings_are_stored_reported_and_not_repeated(nngpt: Nngpt, one_run: Path) -> None:
    done = nngpt(*QUICK, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    stored = confirmations(one_run)
    assert told["trained"] == told["sample"] == len(stored) == 4
    for confirmation in stored:
        assert confirmation.accuracy == confirmation.epochs[-1]
        assert (confirmation.total, len(confirmation.epochs)) == (10_000, 2)
    protocol = json.loads(stored[0].protocol)
    assert (protocol["epochs"], protocol["train_limit"]) == (2, 300)
    assert protocol["judged_on"] == "test"
    ranks = told["groups"][-1]["kendall_tau_b"]
    assert ranks["n"] == 4 and ranks["low"] is None and -1 <= ranks["tau"] <= 1

    again = nngpt(*QUICK, "--at-least", "2", "--share", "0")
    assert again.returncode == 0, again.stderr
    assert "full training of 2 candidates (2 trained earlier)." in again.stdout
    assert "too few for an interval" in again.stdout
    assert confirmations(one_run) == stored


def test_repeated_trainings_tell_networks_from_seeds(nngpt: Nngpt, one_run: Path) -> None:
    short = ("cycle", "confirm", "--epochs", "1", "--train-limit", "300")
    alone = nngpt(*short, "--json")
    done = nngpt(*short, "--repeats", "3", "--json")
    assert done.returncode == 0, done.stderr
    told, once = json.loads(done.stdout), json.loads(alone.stdout)
    assert told["groups"] == once["groups"], "the first training of each network counts there"
    stored = confirmations(one_run)
    assert len(stored) == len(told["confirmations"]) == 12
    assert len({c.seed for c in stored}) == 12 and told["protocol"] == stored[0].protocol
    rows = [
        [c.accuracy for c in stored if c.attempt_id == n] for n in {c.attempt_id for c in stored}
    ]
    found = reliability(rows)
    assert found is not None and 0 < found.share <= 1
    assert told["reliability"] == {**asdict(found), "epochs": 1, "verdict": found.verdict}
    shown = nngpt(*short, "--repeats", "3")
    assert "Networks or seeds" in shown.stdout and "4 networks × 3 trainings" in shown.stdout
    assert "seeds" in found.verdict and "ne training differs" in found.verdict
    assert confirmations(one_run) == stored
    report = nngpt("cycle", "report", "--out", "report")
    assert report.returncode == 0, report.stderr


def test_a_killed_confirmation_resumes(nngpt: Nngpt, one_run: Path) -> None:
    two = ("--at-least", "2", "--share", "0", "--seed", "5")
    one_by_one = (*QUICK, "--set", "evaluation.workers=1", *two)
    killed = begin_nngpt(one_run, one_by_one)
    killed.wait_for("\n  #")
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(60).returncode == -signal.SIGKILL
    before = confirmations(one_run)
    assert before
    done = nngpt(*one_by_one)
    assert done.returncode == 0, done.stderr
    assert f"({len(before)} trained earlier)" in done.stdout
    after = confirmations(one_run)
    assert after[: len(before)] == before
    assert len({c.attempt_id for c in after}) == len(after) == 2


def test_failed_trainings_are_counted(nngpt: Nngpt, one_run: Path) -> None:
    done = nngpt(*QUICK, "--set", "evaluation.limit_s=0.01", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["groups"][-1]["failed"] == 4
    assert all(
        c.accuracy is None and "used more than its" in c.reason for c in confirmations(one_run)
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "evaluation.folds=3"), "'evaluation.folds' cannot be changed here"),
        (("--set", "evaluation.epochs=3"), "Use --epochs"),
        (("--set", "evaluation.latency=true"), "'evaluation.latency' cannot be changed here"),
        (("--set", "evaluation.budget_s=9"), "'evaluation.budget_s' cannot be changed here"),
        (("--set", "task.threshold=0.1"), "'task.threshold' cannot be changed here"),
        (("--set", "evaluation.limit=9"), "limit_s"),
        (("no-such-run",), "no run 'no-such-run'"),
    ],
)
def test_mistakes_are_one_line(
    nngpt: Nngpt, one_run: Path, options: tuple[str, ...], said: str
) -> None:
    done = nngpt("cycle", "confirm", *options)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_run_never_opens_the_test_part(
    nngpt: Nngpt, scripted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config.load("smoke-mnist")
    source = data_source(settings)
    source.prepare()
    kept = files.cache_folder() / "data" / "mnist"
    copy = tmp_path / "cache" / "data" / "mnist"
    shutil.copytree(kept, copy, ignore=shutil.ignore_patterns("splits"))
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    source.splits(settings.seed, 1000, 200)  # compares checksums, once for all
    for name in ("test_x.npy", "test_y.npy"):
        (copy / name).unlink()
    done = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, *scripted)
    assert done.returncode == 0, done.stderr
    assert "4/6 = 67%" in done.stdout
    refused = nngpt("cycle", "confirm", "--epochs", 1)
    assert refused.returncode == 2
    assert "test_" in refused.stderr and "damaged" in refused.stderr


def test_folds_early_stopping_and_budgets_of_the_run_do_not_apply() -> None:
    run = Config.model_validate(
        {"evaluation": {"folds": 3, "budget_s": 1, "epochs": 2, "limit_s": 10}}
    )
    plan = ConfirmationPlan(run, epochs=20, seed=1, train_limit=None)
    found = plan.config.evaluation
    assert (found.folds, found.seeds, found.budget_s, found.epochs) == (None, 1, None, 20)


def test_the_limit_grows_with_the_work(tmp_path: Path) -> None:
    def part(name: str, count: int) -> Part:
        np.save(tmp_path / f"{name}.npy", np.zeros(count, np.int64))
        return Part(tmp_path / f"{name}.npy", tmp_path / f"{name}.npy")

    parts = [part("train", 900), part("validation", 100), part("test", 300)]
    splits = Splits("x", 2, (1, 4, 4), (0.5,), (0.5,), *parts)
    run = Config.model_validate({"task": {"train_limit": 300}, "evaluation": {"limit_s": 10}})
    scaled = ConfirmationPlan(run, 20, seed=1, train_limit=None)
    assert scaled.evaluation(splits).limit_s == 10 * 20 * 3
    given = ConfirmationPlan(run, 20, seed=1, train_limit=None, scaled=False)
    assert given.evaluation(splits).limit_s == 10


@pytest.mark.parametrize("setting", [{"limit_s": 10}, {"memory_mb": 8192}, {"device": "cpu"}])
def test_other_limits_are_another_protocol(setting: dict[str, object]) -> None:
    """A candidate that exceeded a limit is retried with another; workers change nothing."""

    def protocol(scaled: bool = True, **settings: object) -> str:
        run = Config.model_validate({"evaluation": settings})
        return ConfirmationPlan(run, epochs=20, seed=1, train_limit=None, scaled=scaled).protocol

    assert protocol(**setting) != protocol() == protocol(workers=2)
    assert protocol(scaled=False) != protocol()
