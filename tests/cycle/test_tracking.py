"""Trackers follow a run's records: completely, once, and without any effect on the run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import ANSWERS, Nngpt
from PIL import Image
from quick_runs import database, outcome, quick_run, write_answers

from nngpt.cycle.tracking import add_artefact, track
from nngpt.errors import PluginError
from nngpt.store import AttemptRecord, RunRecord, Store

SIX = ("llm.batch_size=6", "candidates.per_cycle=6")
KINDS = {"candidate": 12, "cycle": 2}
"""Events of two cycles."""

BROKEN = """
from nngpt.reports.trackers import jsonl

class Broken(jsonl.JsonLines):
    def log(self, events):
        raise ConnectionError("the server\\nis down")

def create(run):
    return Broken(run.folder / "events.jsonl")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the LLM's script."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, ANSWERS)
    return tmp_path


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two cycles that resumed after the first; tests only read it."""
    folder = tmp_path_factory.mktemp("tracked")
    write_answers(folder, ANSWERS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cycles in (1, 2):
            quick_run(folder, cycles, *SIX, "tracking=[jsonl]")
    return folder


def events(folder: Path, tracker: str = "jsonl") -> list[dict[str, Any]]:
    file = folder / "runs" / "tracking" / "smoke-mnist-1" / tracker / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def read(folder: Path) -> tuple[RunRecord, list[AttemptRecord]]:
    with Store.open(database(folder), create=False) as store:
        run = store.run("smoke-mnist")
        return run, store.attempts(run.id, with_code=True)


def test_every_candidate_and_cycle_is_logged_once_in_order(tracked: Path) -> None:
    logged = events(tracked)
    order = [(event["kind"], event["number"]) for event in logged]
    first, second = ([("candidate", n) for n in range(k, k + 6)] for k in (1, 7))
    assert order == [*first, ("cycle", 1), *second, ("cycle", 2)]
    _, attempts = read(tracked)
    for event, attempt in zip(logged[:6], attempts, strict=False):
        curve = [e.accuracy for e in attempt.evaluation.epochs] if attempt.evaluation else []
        assert (event["facts"]["state"], event["curve"]) == (attempt.state, curve)
        assert event["figures"].get("accuracy") == (attempt.result and attempt.result.accuracy)
    assert logged[6]["figures"]["admitted"] == 2 and logged[6]["figures"]["loss_first"] == 2


def test_tracking_changes_nothing_in_the_run(tracked: Path, here: Path) -> None:
    quick_run(here, 2, *SIX)
    (run, attempts), (other, others) = read(here), read(tracked)
    assert run.identity == other.identity
    assert [outcome(a, 1) for a in attempts] == [outcome(a, 1) for a in others]


def test_a_tracker_that_fails_ends_nothing_and_catches_up(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "lab").mkdir()
    (here / "lab" / "broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(here))
    quick_run(here, 1, *SIX, "tracking=[lab.broken, jsonl]")
    line = "Tracking with lab.broken failed, the run goes on: ConnectionError: the server is down"
    assert capsys.readouterr().err.count(line) == 1
    assert Counter(event["kind"] for event in events(here)) == {"candidate": 6, "cycle": 1}
    (here / "lab" / "broken.py").write_text(BROKEN.replace("raise", "super().log(events) #"))
    monkeypatch.delitem(__import__("sys").modules, "lab.broken")
    quick_run(here, 2, *SIX, "tracking=[lab.broken]")
    assert Counter(event["kind"] for event in events(here, "lab.broken")) == KINDS


def test_a_finished_run_is_sent_by_the_same_command(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_run(here, 2, *SIX)
    track(here / "runs", "smoke-mnist", ["jsonl"], print)
    logged = events(here)
    assert Counter(event["kind"] for event in logged) == KINDS
    file = next((here / "runs" / "tracking").rglob("events.jsonl"))
    with file.open("a") as stream:
        stream.write('{"kind": "candi')  # a kill while it was written
    run, _ = read(here)
    (here / "report").mkdir()
    add_artefact(here / "runs", run, "report", here / "report", print)
    track(here / "runs", "smoke-mnist", ["jsonl"], print)
    artefact = {"kind": "artefact", "number": None, "name": "report"}
    assert events(here) == [*logged, {**artefact, "path": str(here / "report")}]


def test_an_unknown_tracker_is_refused_before_anything_is_written(
    here: Path, call_nngpt: Nngpt
) -> None:
    with pytest.raises(PluginError, match="Did you mean 'jsonl'"):
        quick_run(here, 1, *SIX, "tracking=[jsnl]")
    done = call_nngpt("cycle", "run", "smoke-mnist", "--track", "tensorbord")
    assert done.returncode == 2
    assert "unknown tracker 'tensorbord'. Did you mean 'tensorboard'?" in done.stderr
    assert not (here / "runs").exists()


def make_report(folder: Path) -> Path:
    (folder / "art" / "figures").mkdir(parents=True)
    (folder / "art" / "card.md").write_text("# A network\n")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "art" / "figures" / "one.png")
    return folder / "art"


def test_tensorboard(here: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for cycles in (1, 2):
        quick_run(here, cycles, *SIX, "tracking=[tensorboard]")
    run, attempts = read(here)
    add_artefact(here / "runs", run, "report", make_report(here), print)
    shown = EventAccumulator(str(here / "runs/tracking/smoke-mnist-1/tensorboard")).Reload()
    tags = shown.Tags()
    trained = [a for a in attempts if a.result is not None]
    found = {point.step: point.value for point in shown.Scalars("candidate/accuracy")}
    assert found == {a.id: pytest.approx(a.result.accuracy) for a in trained if a.result}
    assert [point.step for point in shown.Scalars("cycle/generated")] == [1, 2]
    assert len([tag for tag in tags["scalars"] if tag.startswith("curves/")]) == len(trained)
    assert tags["images"] == ["report/figures/one.png"]
    assert {"settings/text_summary", "report/card.md/text_summary"} <= set(tags["tensors"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # between MLflow and SQLAlchemy
def test_mlflow(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    for cycles in (1, 2):
        quick_run(here, cycles, *SIX, "tracking=[mlflow]")
    run, attempts = read(here)
    add_artefact(here / "runs", run, "report", make_report(here), print)
    client = mlflow.MlflowClient()
    (shown,) = client.search_runs(["0"])  # the run that resumed is the same run
    assert (shown.info.run_name, shown.info.status) == ("smoke-mnist-1", "FINISHED")
    assert shown.data.params["task.dataset"] == "mnist"
    steps = [point.step for point in client.get_metric_history(shown.info.run_id, "cycle/valid")]
    trained = [a for a in attempts if a.evaluation is not None]
    curve = client.get_metric_history(shown.info.run_id, f"curves/candidate_{trained[0].id}")
    assert (sorted(steps), len(curve)) == ([1, 2], len(trained[0].evaluation.epochs))
    assert {file.path for file in client.list_artifacts(shown.info.run_id, "report")} == {
        *("report/card.md", "report/figures")
    }
