"""Runs of NAS-Bench-201: what is selected, named and changed; resuming; the embedded model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from rich.console import Console

from nngpt import config
from nngpt.config import Config
from nngpt.cycle.runner import run_loop
from nngpt.data.nasbench201 import Cell, Table
from nngpt.errors import ConfigError
from nngpt.finetuning.selection import selected
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.prompts.better import better_than
from nngpt.generation.prompts.crossover import is_crossed
from nngpt.generation.prompts.quantiles import in_own_quantiles
from nngpt.records import (
    RANDOM_CHANGE,
    Arm,
    Completion,
    EpochResult,
    Evaluation,
    Message,
    Prompt,
    Stage,
    State,
    TrainingPair,
)
from nngpt.reports.progress import ConsoleProgress
from nngpt.sandbox.executors.nasbench201 import LookUpExecutor
from nngpt.store import AttemptRecord, Store

CELLS = ["A A A A A D", "D A D A A D", "B B B B B B", "D D D B D C", "E A E A A D", "C C C C C C"]
REPEATS = "repeats a known network"
SCRIPTED = (
    "llm.backend=scripted",
    "llm.options.script=cells.jsonl",
    "llm.batch_size=5",
    "sampling.constrain=false",
    "candidates.per_cycle=6",
    "candidates.best_of=1",
    "candidates.mutations=0",
    "learning.learner=crash.instant_learner",
    "learning.select=top 0.5",
)


def run(folder: Path, cycles: int, *overrides: str) -> Config:
    """Run or resume in a folder, as `nngpt cycle run` does."""
    settings = [*overrides, f"folder={folder / 'runs'}", f"cycles={cycles}"]
    loaded = config.load("nasbench201", settings)
    with ConsoleProgress(Console(quiet=True)) as progress:
        run_loop(loaded, progress)
    return loaded


def attempts(folder: Path) -> list[AttemptRecord]:
    with Store.open(folder / "runs" / "nngpt.db") as store:
        return store.attempts(1, with_code=True)


def facts(found: list[AttemptRecord]) -> list[Any]:
    return [
        (a.completion.text, a.state, a.arm, a.repaired_from, a.prompt_hash, a.evaluation)
        for a in found
    ]


@pytest.fixture
def script(tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = (json.dumps({"text": f'"{cell}"'}) + "\n" for cell in CELLS)
    (tmp_path / "cells.jsonl").write_text("".join(lines))
    return tmp_path


def test_repeats_are_replaced_in_every_arm_and_a_resumed_run_is_the_same(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = (*SCRIPTED, "controls.base=0.5", "llm.options.script=few.jsonl", "prompt.memory=7")
    lines = (script / "cells.jsonl").read_text().splitlines(keepends=True)
    (script / "few.jsonl").write_text("".join(lines[:4]))
    run(script / "whole", 2, *arms)
    whole = attempts(script / "whole")
    look_up, calls = LookUpExecutor.evaluate, []

    def interrupted(self: LookUpExecutor, *given: Any) -> Any:
        calls.append(given)
        if len(calls) in (5, 12):
            raise KeyboardInterrupt
        return look_up(self, *given)

    monkeypatch.setattr(LookUpExecutor, "evaluate", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(script / "parts", 2, *arms)
    run(script / "parts", 2, *arms)
    assert facts(attempts(script / "parts")) == facts(whole)

    repeats = [a for a in whole if a.refusal and a.refusal.stage is Stage.DUPLICATE]
    repairs = {a.repaired_from: a for a in whole if a.repairs}
    assert {a.id for a in repeats if not a.repairs} == set(repairs)
    assert {a.arm for a in repairs.values()} == {Arm.LOOP, Arm.BASE}
    asked = {a.prompt_hash for a in whole if a.arm is Arm.BASE and not a.repairs}
    assert len(asked) == 1, "without memory"
    for arm in (Arm.LOOP, Arm.BASE):
        looked_up = [a.completion.text for a in whole if a.arm is arm and a.evaluation]
        assert len(looked_up) == len(set(looked_up)) == 6


def test_changes_come_after_all_repairs_whatever_the_speed(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers and their repairs are copies of one cell, or different cells that are too large."""
    cells = ["A A A A A D"] * 4 + [f"D D D D {one} {other}" for one in "BCD" for other in "BCD"]
    lines = (json.dumps({"text": f'"{cell}"'}) + "\n" for cell in cells)
    (script / "cells.jsonl").write_text("".join(lines))
    limits = ("candidates.repairs=2", "task.max_parameters=500000", "learning.enabled=false")
    run(script / "quick", 1, *SCRIPTED, *limits)
    look_up, written = LookUpExecutor.evaluate, []

    def slow(self: LookUpExecutor, *given: Any) -> Any:
        sleep(0.05)  # longer than it takes to start the next batch
        return look_up(self, *given)

    monkeypatch.setattr(LookUpExecutor, "evaluate", slow)
    run(script / "slow", 1, *SCRIPTED, *limits)
    assert facts(attempts(script / "slow")) == facts(attempts(script / "quick"))
    written = [a.completion.model == RANDOM_CHANGE for a in attempts(script / "slow")]
    assert True in written and written == sorted(written), "changes are last"


def test_of_many_answers_near_duplicates_are_tried_last(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edge 0→1 leads nowhere in four cells, so that they compute the same."""
    monkeypatch.setattr(ScriptedLLM, "log_likelihoods", lambda *_: [], raising=False)
    same = {"D A A D A A", "B A A D A A", "C A A D A A", "E A A D A A"}
    cells = [*sorted(same), CELLS[3], "no cell"]
    lines = (json.dumps({"text": f'"{cell}"'}) + "\n" for cell in cells)
    (script / "cells.jsonl").write_text("".join(lines))
    many = ("candidates.best_of=2", "candidates.choose_by=likelihood", "candidates.per_cycle=3")
    run(script / "whole", 2, *SCRIPTED, *many, "llm.batch_size=6", "candidates.repeats=refuse")
    tried = [json.loads(a.completion.text) for a in attempts(script / "whole")]
    assert len(same & set(tried[:3])) == 1, "with what cannot be read, which is counted"
    assert set(tried) == set(cells), "near-duplicates come before repeats"


def test_the_question_names_a_worse_network(script: Path) -> None:
    asks = ("prompt.better_than=5", "prompt.memory=4")
    run(script, 2, *SCRIPTED, "candidates.repeats=refuse", *asks)
    found = attempts(script)
    accuracy = {a.completion.text: a.evaluation.accuracy for a in found if a.evaluation}
    with Store.open(script / "runs" / "nngpt.db") as store:
        asked = [store.prompt(a.prompt_hash).messages[-1].content for a in found]
    assert {text for a, text in zip(found, asked, strict=True) if a.cycle == 1} == {"Write a cell."}
    outcomes = (f"{a.result.accuracy:.1%}" if a.result else REPEATS for a in found[2:6])
    tries = [f"{a.completion.text}: {text}" for a, text in zip(found[2:6], outcomes, strict=True)]
    lines = ["Write a cell.", "", "Last tries, the newest last:", *tries, "", "Better than:", ""]
    best = sorted(accuracy, key=lambda text: -accuracy[text])[:5]
    named = [text for a, text in zip(found, asked, strict=True) if a.cycle == 2]
    assert all(text.removeprefix("\n".join(lines)) in best for text in named)
    learned = json.loads(next((script / "runs" / "adapters").glob("*-c1/adapter.json")).read_text())
    assert learned["pairs"] == 3


def test_the_question_shows_two_of_the_best_cells(script: Path) -> None:
    crossing = ("prompt.crossover=1", "prompt.parents={best: 1}", "candidates.repeats=crossover")
    run(script, 2, *SCRIPTED, *crossing)
    found = attempts(script)
    with Store.open(script / "runs" / "nngpt.db") as store:
        asked = {store.prompt(a.prompt_hash).messages[-1].content for a in found if a.cycle == 2}
    accuracy = {a.completion.text: a.evaluation.accuracy for a in found if a.evaluation}
    for question in asked:
        second, first = re.findall(r'"[A-E ]+"', question)
        assert first != second
        assert question == (
            f"This network reached {accuracy[second]:.1%}:\n\n{second}\n\n"
            f"Take over from it what may help the next one:\n\n{first}\n\nWrite a cell."
        )
    repairs = [a for a in found if a.repairs]
    best = [a.completion.text for a in found if a.evaluation and not a.repairs]
    cells = (Cell.model_validate_json(text).root.split() for text in best)
    columns = list(zip(*cells, strict=True))
    assert repairs
    for one in repairs:
        letters = Cell.model_validate_json(one.completion.text).root.split()
        foreign = sum(letter not in column for letter, column in zip(letters, columns, strict=True))
        assert foreign <= 1, "a crossover, or a change of one that is known"


def test_pairs_name_a_worse_network(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from crash.instant_learner import InstantLearner

    pairs, learn = [], InstantLearner.learn

    def watched(self: InstantLearner, given: Any, *rest: Any) -> Any:
        pairs.extend(given)
        return learn(self, given, *rest)

    monkeypatch.setattr(InstantLearner, "learn", watched)
    run(script, 1, *SCRIPTED, "prompt.better_than=5")
    accuracy = {a.completion.text: a.evaluation.accuracy for a in attempts(script) if a.evaluation}
    ranked = sorted(accuracy, key=lambda text: accuracy[text])
    assert {pair.completion for pair in pairs} == set(ranked[3:])
    for pair in pairs:
        named = pair.prompt.messages[-1].content.removeprefix("Write a cell.\n\nBetter than:\n")
        assert accuracy[named] < accuracy[pair.completion]


def test_better_than_replaces_what_was_named() -> None:
    asked = Prompt("cell", "", "cell", (Message("system", "s"), Message("user", "Write.")))
    named = better_than(better_than(asked, "x"), "y")
    assert named.messages == (Message("system", "s"), Message("user", "Write.\n\nBetter than:\ny"))
    assert better_than(named, "") == asked


@pytest.mark.parametrize(
    ("how", "ids"),
    [
        ("all", [1, 2, 3, 4, 5, 6]),
        ("top 0.25", [2, 4]),
        ("top 1", [1, 2, 3, 4, 5, 6]),
        ("top .01", [2]),
        ("top 0.3 per cycle", [2, 4]),
        ("top 0.5 per cycle", [1, 2, 4, 5]),
        ("front", [2, 3, 5]),
        ("front per cycle", [2, 3, 4, 5]),
    ],
)
def test_selection_by_rank_and_by_front(how: str, ids: list[int]) -> None:
    reached = [(0.5, 40), (0.9, 90), (0.5, 30), (0.8, 90), (0.7, 50), (0.1, 10)]
    chosen = [attempt(n, *figures) for n, figures in enumerate(reached, 1)]
    assert [a.id for a in selected(how, chosen)] == ids
    assert selected(how, []) == []


@pytest.mark.parametrize(
    ("accuracies", "count", "quantiles"),
    [
        ([0.5], 4, [4]),
        ([0.4, 0.1, 0.3, 0.2], 2, [2, 1, 2, 1]),
        ([0.1, 0.1, 0.1, 0.9], 4, [3, 3, 3, 4]),
        ([n / 100 for n in range(100)], 10, [n // 10 + 1 for n in range(100)]),
    ],
)
def test_quantiles_are_ranks(accuracies: list[float], count: int, quantiles: list[int]) -> None:
    known = [attempt(n, accuracy) for n, accuracy in enumerate(accuracies)]
    pairs = [TrainingPair(Prompt("", "", "", (Message("user", "Write."),)), "x", "")] * len(known)
    named = in_own_quantiles(pairs, known, known, count)
    asked = [f"Accuracy quantile: {n} of {count}\n\nWrite." for n in quantiles]
    assert [pair.prompt.messages[-1].content for pair in named] == asked


def attempt(number: int, accuracy: float, parameters: int = 1) -> AttemptRecord:
    """Return an admitted attempt of cycle 1 or, from the fourth on, of cycle 2."""
    text = Completion("x", "m", None, 1, 0, 1, 1, 1.0)
    epochs = (EpochResult(1, accuracy, 1, 1, 1.0),)
    reached = Evaluation(epochs, parameters, 1.0, "cpu", 1, "none")
    facts = (None, None, reached, None, None, None, 0, 0, "", "")
    cycle = (number + 2) // 3
    return AttemptRecord(number, 1, cycle, 0, number, State.ADMITTED, "cell", "p", text, *facts)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learning.select=best"], "learning.select"),
        (["learning.select=top 0"], "learning.select"),
        (["learning.select=front 0.5"], "learning.select"),
        (["prompt.accuracy_quantiles=1"], "prompt.accuracy_quantiles"),
        (["prompt.accuracy_quantiles=4"], "accuracy_quantiles needs learning.select: all"),
        (["candidates.lag=1"], "mutated repeats"),
        (["prompt.template=delta", "sampling.constrain=false"], "candidates.repeats: answers of"),
    ],
)
def test_mistakes(script: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(script, 1, *overrides)


SMALL = ("candidates.per_cycle=2", "learning.epochs=1", "learning.layers=1", "learning.rank=2")
QUANTILES = ("prompt.accuracy_quantiles=2", "learning.select=all")
CROSSED = ("prompt.crossover=1", "prompt.parents={best: 1}", "prompt.memory=2")
FRONT = ("learning.select=front", *CROSSED)


@pytest.mark.parametrize("lever", [FRONT, QUANTILES])
def test_the_embedded_model_writes_and_learns_cells(
    table: Table, tmp_path: Path, lever: tuple[str, ...]
) -> None:
    run(tmp_path, 2, *SMALL, *lever)
    found = attempts(tmp_path)
    assert len([a for a in found if not a.repairs]) == 4
    assert all(Cell.model_validate_json(a.completion.text) for a in found)
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        learned = store.adapters(1)[2]
        asked = {store.question(a) for a in found if a.cycle == 2}
    admitted = [a for a in found if a.state is State.ADMITTED]
    assert learned.loss_first > 0
    if lever == QUANTILES:
        assert learned.pairs == len(admitted)
        (named,) = (prompt.messages[-1].content for prompt in asked)
        assert named == "Accuracy quantile: 2 of 2\n\nWrite a cell."
        return
    assert learned.pairs == len(selected("front", admitted))
    assert all(map(is_crossed, asked))
    last = [f"{a.completion.text}: {a.result.accuracy:.1%}" for a in found if a.result]
    tries = [a for a in found if a.cycle == 1][-2:]
    for prompt in asked:
        lines = prompt.messages[-1].content.splitlines()[-2:]
        assert [line.partition(": ")[0] for line in lines] == [a.completion.text for a in tries]
        assert lines[-1] in last
