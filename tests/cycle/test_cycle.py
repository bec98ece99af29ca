"""The loop with a scripted LLM: real data, real processes, real database, a real command line."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from command_line import ANSWERS, GOOD, NEAR_TWIN, ROOT, TWO_LAYERS, Nngpt, begin_nngpt
from quick_runs import SETTINGS, database, quick_run, write_answers
from safetensors.torch import load_file

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.errors import StoreError
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate, Completion, Refusal, Stage, State
from nngpt.store import AttemptRecord, Store

SIX = ("llm.batch_size=6", "candidates.per_cycle=6")
"""One batch with each answer of the script."""


def attempts(folder: Path, run: int = 1) -> list[AttemptRecord]:
    with Store.open(folder / "runs" / "nngpt.db", create=False) as store:
        return store.attempts(run, with_code=True)


def outcome(attempt: AttemptRecord) -> tuple[int, str, str | None, float | None]:
    """The part of an attempt that must not depend on kills, machine load or the time of day."""
    accuracy = attempt.evaluation.accuracy if attempt.evaluation else None
    stage = attempt.refusal.stage if attempt.refusal else None
    return attempt.cycle, attempt.completion.text, stage, accuracy


@pytest.fixture
def one_cycle(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run in this test's folder; returns the folder."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's folder, with the LLM's script, for runs in this process."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, ANSWERS)
    return tmp_path


def test_a_run_prints_and_stores_each_outcome(
    nngpt: Nngpt, scripted: list[str], one_cycle: Path
) -> None:
    tmp_path, printed = one_cycle, (one_cycle / "printed.txt").read_text()
    settled = attempts(tmp_path)
    stages = sorted(a.refusal.stage for a in settled if a.refusal)
    assert stages == [Stage.BUILD, Stage.NOVELTY, Stage.PARSE, Stage.THRESHOLD]
    admitted = [a for a in settled if a.state == State.ADMITTED]
    assert len(admitted) == 2
    for attempt in admitted:
        assert attempt.evaluation is not None and attempt.evaluation.accuracy >= 0.5
        assert attempt.evaluation.epochs[0].total == 200
        assert attempt.novelty is not None and not attempt.novelty.duplicate
    assert "Cycle 1 of 1" in printed
    assert "4/6 = 67% [30–90]" in printed

    again = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, *scripted)
    assert again.returncode == 0
    assert "Cycle 1 of 1" not in again.stdout, "nothing is trained again"
    assert "4/6" in again.stdout


def test_each_training_has_its_lemur_row(
    nngpt: Nngpt, scripted: list[str], one_cycle: Path
) -> None:
    trained = [a for a in attempts(one_cycle) if a.evaluation]
    with closing(sqlite3.connect(one_cycle / "runs" / "nngpt.db")) as db, db:
        rows = db.execute("select nn, accuracy, epoch, dataset, task from stat").fetchall()
    expected = {
        (f"nngpt-{a.content_hash}", a.evaluation.accuracy, 1, "mnist", "img-classification")
        for a in trained
        if a.evaluation
    }
    assert set(rows) == expected


def test_the_second_cycle_refuses_networks_trained_in_the_first(here: Path) -> None:
    quick_run(here, 2, *SIX)
    second = [a for a in attempts(here) if a.cycle == 2]
    stages = [a.refusal.stage for a in second if a.refusal]
    assert sorted(stages) == [Stage.DUPLICATE] * 5 + [Stage.PARSE]
    assert not any(a.evaluation for a in second)


def test_generation_continues_until_enough_are_admitted(here: Path) -> None:
    wanted = ["until_admitted=2", "per_cycle=2", "max_per_cycle=6"]
    quick_run(here, 1, "llm.batch_size=6", *(f"candidates.{w}" for w in wanted))
    settled = attempts(here)
    admitted = sum(a.state == State.ADMITTED for a in settled)
    assert admitted == 2 or len(settled) == 6
    assert len(settled) > 2 or admitted == 2


def test_an_impossible_index_is_refused_before_the_run(nngpt: Nngpt, scripted: list[str]) -> None:
    impossible = "novelty={measure: minhash, options: {lsh_threshold: 0.99}}"
    refused = nngpt("cycle", "run", "smoke-mnist", *scripted, "--set", impossible)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "novelty.options: no LSH index can be made" in refused.stderr


def test_no_novelty_measure_admits_near_twins(here: Path) -> None:
    quick_run(here, 1, *SIX, "novelty.measure=none")
    assert sum(a.state == State.ADMITTED for a in attempts(here)) == 3


def test_fresh_archives_the_old_run(here: Path, nngpt: Nngpt) -> None:
    quick_run(here, 1, *SIX)
    first = [outcome(a) for a in attempts(here)]
    sets = [part for setting in (*SETTINGS, *SIX) for part in ("--set", setting)]
    again = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, "--fresh", *sets)
    assert again.returncode == 0, again.stderr
    assert [outcome(a) for a in attempts(here)] == first
    assert [outcome(a) for a in attempts(here, run=2)] == first, "same seed, same run"
    listed = json.loads(nngpt("cycle", "list", "--json").stdout)
    assert [(r["id"], r["status"]) for r in listed] == [(1, "archived"), (2, "done")]


def test_changed_settings_are_refused(nngpt: Nngpt, scripted: list[str], one_cycle: Path) -> None:
    before = [outcome(a) for a in attempts(one_cycle)]
    changed = nngpt("cycle", "run", "smoke-mnist", *scripted, "--set", "sampling.temperature=0.9")
    assert changed.returncode == 2
    assert "sampling.temperature was 0.5, is 0.9" in changed.stderr
    assert "--fresh" in changed.stderr
    assert [outcome(a) for a in attempts(one_cycle)] == before


def test_a_killed_run_resumes(
    nngpt: Nngpt, scripted: list[str], finished: Path, tmp_path: Path
) -> None:
    command = ["cycle", "run", "smoke-mnist", "--cycles", "1", *scripted]
    moments = random.Random(1)
    for words in ("the LLM writes", " #"):
        killed = begin_nngpt(tmp_path, command)
        killed.wait_for(words)
        time.sleep(moments.uniform(0, 0.5))
        killed.send_signal(signal.SIGKILL)
        assert killed.wait(60).returncode == -signal.SIGKILL
    assert nngpt(*command).returncode == 0
    assert [outcome(a) for a in attempts(tmp_path)] == [outcome(a) for a in attempts(finished)]


def test_a_second_runner_of_a_run_is_refused(
    nngpt: Nngpt, scripted: list[str], one_cycle: Path
) -> None:
    with Store.open(one_cycle / "runs" / "nngpt.db") as store, store.lease(1):
        second = nngpt("cycle", "run", "smoke-mnist", "--cycles", 2, *scripted)
    assert second.returncode == 2
    assert "another runner" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_status_show_and_list_print_json(
    nngpt: Nngpt, scripted: list[str], one_cycle: Path
) -> None:
    run = nngpt("cycle", "run", "smoke-mnist", "--cycles", 1, "--json", *scripted)
    status = nngpt("cycle", "status", "--json")
    assert json.loads(run.stdout) == json.loads(status.stdout)
    cycle = json.loads(status.stdout)["cycles"][0]
    assert (cycle["generated"], cycle["valid"], cycle["mode"]) == (6, 4, "features")
    low, high = cycle["valid_share_95"]
    assert low < 4 / 6 < high
    best = next(a for a in attempts(one_cycle) if a.state == State.ADMITTED)
    shown = json.loads(nngpt("cycle", "show", best.id, "--json").stdout)
    assert shown["state"] == "admitted"
    assert shown["candidate"]["code"] == best.candidate.code if best.candidate else False
    person = nngpt("cycle", "show", best.id).stdout
    assert "class Net(nn.Module)" in person and "accuracy" in person


def test_the_real_model_generates_learns_and_generates_again(nngpt: Nngpt, tmp_path: Path) -> None:
    """Nothing scripted: the embedded LLM, MNIST, a LoRA step, and its adapter in cycle 2."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"completion": GOOD, "source": "by hand"}) + "\n")
    settings = {
        "llm.batch_size": 2,
        "candidates.per_cycle": 2,
        "prompt.template": TWO_LAYERS,
        "sampling.max_new_tokens": 24,
        "task.train_limit": 300,
        "task.validation_limit": 100,
        "learning.corpus": corpus,
        "learning.epochs": 1,
        "learning.layers": 2,
        "evaluation.threads": 1,
        "evaluation.limit_s": 60,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = nngpt("cycle", "run", "smoke-mnist", *sets)
    assert done.returncode == 0, done.stderr
    settled = attempts(tmp_path)
    assert [a.completion.adapter for a in settled] == [None] * 2 + ["smoke-mnist-1-c1"] * 2
    assert all(a.state in (State.ADMITTED, State.REFUSED) for a in settled)
    assert all(a.completion.completion_tokens > 0 for a in settled)
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        adapter = store.adapter(1, 1)
        assert adapter is not None and Path(adapter.path).is_dir()
        assert adapter.pairs == 1 + len(store.admitted(1, upto_cycle=1))
    weights = load_file(Path(adapter.path) / "adapter_model.safetensors")
    assert all(w.any() for name, w in weights.items() if "lora_B" in name), "0 in a new adapter"


def test_a_candidate_that_ends_three_runners_is_refused(here: Path) -> None:
    settings = config.load("smoke-mnist", [*SETTINGS, "candidates.per_cycle=1"])
    reader = make_reader(settings, data_source(settings))
    candidate = reader.read(GOOD)
    assert isinstance(candidate, Candidate)
    dump = settings.model_dump(mode="json")
    written = Completion(GOOD, "scripted", None, 1, 0, 0, 0, 0.0)
    with Store.open(database(here)) as store:
        run = store.start_run(settings.name, dump, config.identity_of(settings), settings.seed)
        for killed in range(3):
            with store.lease(run.id) as lease:
                if not killed:
                    (attempt,) = lease.add_completions(1, 0, reader.prompt, [written])
                    lease.parsed(attempt, candidate)
                    lease.validated(attempt)
                lease.training(attempt)
    quick_run(here, 1, "candidates.per_cycle=1")
    (settled,) = attempts(here)
    assert settled.refusal is not None and settled.refusal.stage == Stage.TRAIN
    assert settled.refusal.reason == "the runner ended 3 times while training it"


def test_a_network_stopped_early_is_known(here: Path) -> None:
    settings = config.load("smoke-mnist", [*SETTINGS, "candidates.per_cycle=2"])
    reader = make_reader(settings, data_source(settings))
    candidate = reader.read(GOOD)
    assert isinstance(candidate, Candidate)
    dump = settings.model_dump(mode="json")
    written = [
        Completion(text, "scripted", None, 1, place, 0, 0, 0.0)
        for place, text in enumerate((GOOD, NEAR_TWIN))
    ]
    with Store.open(database(here)) as store:
        run = store.start_run(settings.name, dump, config.identity_of(settings), settings.seed)
        with store.lease(run.id) as lease:
            stopped, _ = lease.add_completions(1, 0, reader.prompt, written)
            lease.parsed(stopped, candidate)
            lease.validated(stopped)
            lease.training(stopped)
            lease.refuse(stopped, Refusal(Stage.THRESHOLD, "stopped after epoch 1 of 3"))
    quick_run(here, 1, "candidates.per_cycle=2")
    _, twin = attempts(here)
    assert twin.refusal is not None and twin.refusal.stage == Stage.NOVELTY
    assert twin.refusal.reason.endswith("to attempt 1")


def test_a_run_does_not_resume_with_a_changed_prompt(here: Path) -> None:
    shutil.copytree(ROOT / "prompts", here / "prompts")
    template = here / "prompts" / "features.yaml"
    sets = (*SIX, "prompt.template=prompts/features.yaml")
    quick_run(here, 1, *sets)
    template.write_text(template.read_text().replace("Write a new", "Write another"))
    with pytest.raises(StoreError, match="began with another text of this prompt"):
        quick_run(here, 2, *sets)
