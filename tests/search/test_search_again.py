"""Searching again: the card's command makes the same search, and --fresh starts it anew."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Nngpt, write_bright_and_dark

from nngpt.config import Config
from nngpt.errors import UserError
from nngpt.records import content_hash
from nngpt.search import beginning, entrants
from nngpt.search import search as searching
from nngpt.search.command import command_of
from nngpt.search.entrants import LLM, PORTFOLIO
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.portfolio import read_portfolio
from nngpt.search.request import Request, make_request
from nngpt.store import Store
from nngpt.store.lock import RunLock

OWN = "seed: 3\nevaluation: {workers: 1}\ntask: {dataset: my images, threshold: 0.9}\n"
EVERYTHING = (
    *("my images", "--folder", "a'b", "--candidates", 3, "--designs", 0, "--seed", 9),
    *("--max-parameters", 1e5, "--max-latency-ms", 2.5, "--device", "cpu", "--sandbox", "weak"),
    *("--objective", "latency", "--objective", "macs"),
    *("--set", "task.resize=pad", "--set", "task.image_size=[20, 30]"),
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("mnist",),
        ("./mnist", "--minutes", 7.5),
        ("own.yaml", "--out", "the best"),
        EVERYTHING,
        ("mnist", "--set", "evaluation.executor=bubblewrap", "--set", "task.train_limit=100"),
        ("mnist", "--set", "cycles=2", "--set", "llm.model=org/x", "--set", "prompt.shots=1"),
    ],
    ids=str,
)
def test_the_cards_command_asks_for_the_same_search(
    arguments: tuple[object, ...],
    call_nngpt: Nngpt,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: list[tuple[Request, bool]] = []

    def search(request: Request, _progress: object, _finish: bool, fresh: bool) -> None:
        asked.append((request, fresh))
        raise UserError("asked")

    monkeypatch.setattr(searching, "search", search)
    for name in ("mnist", "my images"):
        write_bright_and_dark(tmp_path / name)
    (tmp_path / "own.yaml").write_text(OWN)
    assert call_nngpt("search", *arguments).stderr == "nngpt: asked\n"
    call_nngpt(*shlex.split(command_of(asked[0][0]))[1:])
    (first, fresh), (again, fresh_again) = asked
    assert (fresh, fresh_again) == (False, True)
    assert first.identity() == again.identity()
    for name in ("minutes", "out", "folder", "candidates", "designs", "objectives"):
        assert getattr(first, name) == getattr(again, name), name
    assert first.base.evaluation == again.base.evaluation


def test_a_fresh_search_removes_only_its_own(call_nngpt: Nngpt, tmp_path: Path) -> None:
    images, work = tmp_path / "images", tmp_path / "work"
    write_bright_and_dark(images)
    work.mkdir()
    journal = Journal(work, 60.0, time.monotonic())
    journal.add(StageRecord("first-a", "a", correct=3, total=4), b"weights")
    for name in (".first-b.partial", "search.json", "mine.safetensors"):
        (work / name).write_text("{}")
    with Store.open(work / "nngpt.db") as store:
        for name in (PORTFOLIO, LLM, "mine"):
            store.start_run(name, {}, {}, seed=1)
    command = ("search", "images", "--folder", "work", "--fresh")
    assert "exclude each other" in call_nngpt(*command, "--finish").stderr
    lock = RunLock(work / ".lock")
    assert "another runner" in call_nngpt(*command).stderr
    lock.release()
    assert (work / "first-a.safetensors").exists()

    beginning.start_over(work)
    kept = {path.name for path in work.iterdir() if ".lock" not in path.name}
    assert kept == {"mine.safetensors", "nngpt.db"}
    with Store.open(work / "nngpt.db") as store:
        assert [run.status for run in store.runs()] == ["archived", "archived", "active"]


def test_networks_of_an_older_portfolio_keep_their_licence(tmp_path: Path) -> None:
    known = read_portfolio()[0]
    gone = replace(
        known, name="gone", source="elsewhere", licence="0BSD", code="# old\n" + known.code
    )
    request = make_request(Config(), 1.0, tmp_path / "best", tmp_path)
    entrants.write_script(request, [gone])
    found = entrants.origins(tmp_path)
    assert found[content_hash(gone.code)] == ("gone", "the network gone of elsewhere", "0BSD")

    (tmp_path / entrants.SCRIPT).write_text(json.dumps({"text": "of an older version"}) + "\n")
    title, _, licence = entrants.origins(tmp_path)[content_hash(known.code)]
    assert (title, licence) == (known.name, known.licence)
