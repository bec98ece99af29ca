"""Ask and tell: the real loop with an evaluator of one's own; it may be stopped and killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import ALSO_GOOD, ANSWERS, GOOD, WEAK, Nngpt
from quick_runs import database, write_answers

import nngpt
from nngpt.store import Store

SETTINGS: Mapping[str, Any] = {
    "llm.backend": "scripted",
    "llm.options.script": "answers.jsonl",
    "llm.batch_size": 6,
    "candidates.per_cycle": 6,
    "cycles": 1,
    "task.train_limit": 100,
    "task.validation_limit": 100,
    "task.threshold": 0.4,
    "learning.enabled": False,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the LLM's script."""
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, ANSWERS)
    return tmp_path


def answer(code: str) -> float | str:
    """What the evaluator of these tests says of a network."""
    return "it exploded" if "Tanh" in code else 0.75


def test_a_killed_program_asks_again_for_what_it_had_not_told(
    here: Path, call_nngpt: Nngpt
) -> None:
    child = os.fork()
    if child == 0:
        _tell_one_and_die()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    codes = []
    with nngpt.AskTell("smoke-mnist", SETTINGS) as loop:
        while (asked := loop.ask()) is not None:
            codes.append(asked.code)
            loop.tell(asked, answer(asked.code), images=200)
    assert len(codes) == 4  # of six answers: one is cut off, one was told before the kill
    frame = loop.run.attempts()
    states = ["admitted", "admitted", "refused", "refused", "admitted", "refused"]
    assert list(frame["state"]) == states
    assert (frame["reason"][3], frame["stage"][2]) == ("it exploded", "novelty")
    first = frame.iloc[0]
    assert (first["accuracy"], first["parameters"], first["novelty"] > 0) == (0.75, 7, True)
    assert 0.68 < first["low"] < 0.75 < first["high"] < 0.81
    with Store.open(database(here)) as store:
        assert [a.restarts for a in store.attempts(1)] == [0, 1, 0, 0, 0, 0]
    resumed = call_nngpt("cycle", "run", "smoke-mnist", *_as_options({**SETTINGS, "cycles": 2}))
    assert resumed.returncode == 2
    assert "the candidates of this run are evaluated by a program of yours" in resumed.stderr


def _tell_one_and_die() -> None:
    try:
        with nngpt.AskTell("smoke-mnist", SETTINGS) as loop:
            asked = loop.ask()
            assert asked is not None
            loop.tell(asked, 0.75, images=200, parameters=7)
            loop.ask()
            os.kill(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(1)


def _as_options(settings: Mapping[str, Any]) -> list[str]:
    given = {**settings, "evaluation.executor": "outside", "evaluation.retrain": False}
    return [part for key, value in given.items() for part in ("--set", f"{key}={value}")]


def test_a_block_that_ends_early_loses_nothing(here: Path) -> None:
    with nngpt.AskTell("smoke-mnist", SETTINGS) as loop:
        first = loop.ask()
        assert first is not None and "class Net(nn.Module)" in first.code
        with pytest.raises(nngpt.UserError, match="tell the result of an earlier network first"):
            loop.ask()
        with pytest.raises(nngpt.UserError, match=r"the accuracy 1\.5 is not in 0…1"):
            loop.tell(first, 1.5)
        loop.tell(first, 0.5)
        with pytest.raises(nngpt.UserError, match="told already"):
            loop.tell(first, 0.5)
        second = loop.ask()
        assert second is not None
    assert loop.run.status == "active"
    with pytest.raises(nngpt.UserError, match="told already, or its run ended"):
        loop.tell(second, 0.5)
    with nngpt.AskTell("smoke-mnist", SETTINGS) as loop:
        again = loop.ask()
        assert again is not None and (again.code, again.seed) == (second.code, second.seed)
    with Store.open(database(here)) as store:
        assert not any(attempt.restarts for attempt in store.attempts(1))


def test_several_may_be_asked_for_at_once(here: Path) -> None:
    write_answers(here, [GOOD, ALSO_GOOD, WEAK])
    settings = {**SETTINGS, "llm.batch_size": 3, "candidates.per_cycle": 3}
    with nngpt.AskTell("smoke-mnist", settings, workers=3) as loop:
        asked = [loop.ask() for _ in range(3)]
        for one in reversed(asked):
            assert one is not None
            loop.tell(one, 0.5)
        assert loop.ask() is None and loop.ask() is None
    assert list(loop.run.attempts()["state"]) == ["admitted"] * 3
    with nngpt.AskTell("smoke-mnist", settings) as loop:
        assert loop.ask() is None  # it has ended


def test_a_wrong_setting_is_an_error_of_ask(here: Path) -> None:
    wrong = nngpt.AskTell("smoke-mnist", {**SETTINGS, "llm.options.script": "none.jsonl"})
    with pytest.raises(nngpt.UserError, match=r"none\.jsonl"), wrong as loop:
        loop.ask()
    with pytest.raises(nngpt.UserError, match="unknown key 'cycels'"):
        nngpt.AskTell("smoke-mnist", {"cycels": 2})
    with pytest.raises(nngpt.UserError, match="no runs here"):
        nngpt.Run.open(here)
