"""Parents of changes and crossovers: their sources, the second one, islands, and runs with them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any, cast

import pytest
from command_line import ALSO_GOOD, ANSWERS, GOOD
from crash.instant_executor import InstantExecutor
from quick_runs import database, outcome, quick_run, write_answers

from nngpt import config
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.generation.contract import make_reader
from nngpt.generation.llm.mutation import MutationLLM, cross
from nngpt.generation.prompts.better import better_than
from nngpt.generation.prompts.crossover import crossed, is_crossed
from nngpt.generation.prompts.cycle_prompts import RunPrompts
from nngpt.generation.prompts.islands import populations
from nngpt.generation.prompts.known import (
    KnownNetwork,
    from_run,
    read_pool,
    shuffle_by_quality,
)
from nngpt.generation.prompts.parents import Parents
from nngpt.records import Arm, Candidate, Message, Prompt, Sampling
from nngpt.store import Lease, Store

NOVEL = [
    f"8, 3),\n    nn.{activation}(),\n    nn.LazyConv2d(16, 3),\n    nn.MaxPool2d(2),\n)"
    for activation in ("SiLU", "ELU", "Mish")
]


def network(name: str, accuracy: float, dataset: str = "", **more: Any) -> KnownNetwork:
    measured = f"corpus: {dataset}" if more.get("family") else "this run"
    candidate = Candidate(name, name, "features", {}, "norm", 64)
    return KnownNetwork(name, candidate, name, accuracy, measured, **more)


POOL = [
    network("a-first", 0.9, "mnist", family="a"),
    network("a-second", 0.5, "cifar-10", family="a"),
    network("b", 0.7, "cifar-10", family="b"),
    network("c", 0.99, "", family="c"),
]
ADMITTED = [
    network(f"own {n}", n / 20, parameters=size)
    for n, size in enumerate([5, 40, 10, 60, 0, 20, 70, 80, 90, 95, 30, 99])
]
FRONT = {"own 0", "own 2", "own 5", "own 10", "own 11"}


def names(networks: Sequence[KnownNetwork]) -> list[str]:
    return [one.name for one in networks]


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (0, ["b", "a-second", "a-first", "c"]),
        (1, ["a-second", "a-first", "c", "b"]),
        (2, ["c", "b", "a-second", "a-first"]),
        (3, ["b", "a-second", "a-first", "c"]),
    ],
)
def test_families_take_turns_and_the_tasks_data_set_comes_first(
    turn: int, expected: list[str]
) -> None:
    parents = Parents({"corpus": 1}, ADMITTED, POOL, "cifar-10")
    assert names(parents.ordered(7, turn)) == expected


@pytest.mark.parametrize(
    ("source", "firsts"),
    [
        ("front", FRONT),
        ("best", {f"own {n}" for n in range(2, 12)}),
        ("admitted", {f"own {n}" for n in range(12)}),
    ],
)
def test_own_networks(source: str, firsts: set[str]) -> None:
    parents = Parents({source: 1}, ADMITTED, POOL, "cifar-10")
    drawn = Counter(parents.ordered(seed, 0)[0].name for seed in range(600))
    assert set(drawn) == firsts
    if source != "admitted":
        assert min(drawn.values()) > 600 / len(firsts) / 2, "each is as likely"


def test_shares_hold_and_a_source_without_networks_gives_way() -> None:
    parents = Parents({"front": 0.3, "corpus": 0.1}, ADMITTED, POOL, "cifar-10")
    orders = [names(parents.ordered(seed, 0)) for seed in range(800)]
    assert sum(order[0] == "b" for order in orders) / 800 == pytest.approx(0.25, abs=0.05)
    assert all(set(order) == FRONT | set(names(POOL)) for order in orders)
    turned = Parents({"corpus": 0.1, "front": 0.3}, ADMITTED, POOL, "cifar-10")
    assert [names(turned.ordered(seed, 0)) for seed in range(800)] == orders
    first = Parents({"front": 0.9, "corpus": 0.1}, [], POOL, "cifar-10")
    assert {first.ordered(seed, 0)[0].name for seed in range(9)} == {"b"}


def test_the_default_is_as_it_was() -> None:
    for seed in range(5):
        assert Parents({}, ADMITTED, POOL, "").ordered(seed, 1) == shuffle_by_quality(
            ADMITTED, seed
        )
        for shares in ({}, {"best": 1.0}):
            assert Parents(shares, [], POOL, "").ordered(seed, 1) == shuffle_by_quality(POOL, seed)


def test_the_portfolio_is_a_corpus_with_families() -> None:
    settings = config.load(
        "delta-mnist", ["prompt.corpus=portfolio.jsonl.gz", "prompt.parents.corpus=1"]
    )
    reader = make_reader(settings, data_source(settings))
    pool = read_pool(settings, reader, lambda text: None)
    assert {one.family for one in pool} >= {"alt", "rag", "BagNet", "quick"} and len(pool) >= 12
    assert {one.dataset for one in pool} == {"cifar-10"}
    best = Parents({"corpus": 1}, [], pool, "cifar-10").ordered(1, 0)[0]
    assert best.accuracy == max(one.accuracy for one in pool) > 0.8


# ---------------------------------------------------------------- the second parent


@pytest.mark.parametrize(
    ("first", "second", "question"),
    [
        (
            "",
            network("x", 0.8127, "cifar-10", family="x"),
            "This network reached 81.3% (cifar-10):\n\nX\n\n"
            "Take over from it what may help the next one.\n\nChange it.",
        ),
        (
            "Y",
            network("x", 0.5),
            "This network reached 50.0%:\n\nX\n\n"
            "Take over from it what may help the next one:\n\nY\n\nChange it.",
        ),
    ],
)
def test_the_question_shows_a_second_network(
    first: str, second: KnownNetwork, question: str
) -> None:
    asked = Prompt("t", "", "full", (Message("system", "s"), Message("user", "Change it.")))
    found = crossed(asked, second, "X", first)
    assert found.messages == (asked.messages[0], Message("user", question))
    assert is_crossed(found) and not is_crossed(asked) and not is_crossed(better_than(asked, "X"))


@pytest.mark.parametrize("seed", range(5))
def test_a_crossover_begins_as_one_network_and_ends_as_the_other(seed: int) -> None:
    one, other = "nn.Sequential(a(), b(), c())", "nn.Sequential(x(), y(), z())"
    text = cross(one, other, random.Random(seed)).removeprefix("nn.Sequential(")
    letters = [part[0] for part in text.split(", ")]
    assert letters[0] == "a" and letters[-1] == "z"
    assert "".join(sorted(letters)) == "".join(letters)
    assert cross(one, "x", random.Random(seed)) == cross("a b", other, random.Random(seed)) == ""


def test_crossovers_of_layer_lists_are_lists_and_known_ones_are_changed() -> None:
    settings = config.load("smoke-mnist", ["prompt.template=features"])
    reader = make_reader(settings, data_source(settings))
    known = [reader.prompt.prefill + text for text in (GOOD, ALSO_GOOD)]
    written = [
        completion.text
        for avoid in ((), known)
        for completion in MutationLLM(known, 1, 1, avoid, crosses=True).generate(
            reader.prompt, 10, 1, Sampling()
        )
    ]
    assert all(isinstance(reader.read(text), Candidate) for text in written)
    assert {"GELU" in text and "ReLU" in text for text in written} == {True, False}
    assert not {reader.prompt.prefill + text for text in written[10:]} & set(known)
    (alone,) = MutationLLM(known[:1], 1, 1, crosses=True).generate(reader.prompt, 1, 1, Sampling())
    assert isinstance(reader.read(alone.text), Candidate), "one network cannot be crossed"


def test_each_arm_counts_its_own_batches() -> None:
    """Else the frozen LLM, with fewer batches a cycle, would change networks of few families."""
    settings = config.load(None, ["candidates.per_cycle=50", "controls.base=0.2"])
    limit = SimpleNamespace(llm=SimpleNamespace(batch_size=8))
    run = RunPrompts(settings, *cast(Any, (None, None, limit, None)))
    assert [run.turn(3, batch) for batch in range(5)] == [10, 11, 12, 13, 14]
    assert [run.turn(3, batch, Arm.BASE) for batch in range(2)] == [4, 5]


# ---------------------------------------------------------------- islands


@pytest.mark.parametrize(
    ("migrations", "expected"),
    [
        ([], [["a", "d"], ["b"], ["c"]]),
        ([1], [["a", "d", "c"], ["b", "a"], ["c", "b"]]),
        ([1, 2], [["a", "d", "c"], ["b", "a", "d"], ["c", "b", "a"]]),
        ([1, 2, 3], [["a", "d", "c"], ["b", "a", "d"], ["c", "b", "a", "d"]]),
    ],
)
def test_the_best_of_each_island_joins_the_next_one(
    migrations: list[int], expected: list[list[str]]
) -> None:
    admitted = [
        network("a", 0.6, cycle=1, batch=0),
        network("b", 0.5, cycle=1, batch=1),
        network("c", 0.7, cycle=1, batch=2),
        network("d", 0.9, cycle=2, batch=0),
    ]
    found = populations(admitted, 3, lambda one: one.batch, migrations)
    assert [names(island) for island in found] == expected


# ---------------------------------------------------------------- runs

RUN = (
    *("prompt.template=features", "prompt.shots=1", "prompt.shots_from=admitted"),
    *("prompt.parents={best: 0.5, front: 0.5}", "prompt.crossover=0.9", "prompt.better_than=2"),
    *("prompt.islands=2", "prompt.migrate_every=2", "candidates.per_cycle=4", "llm.batch_size=2"),
    "candidates.lag=1",
)


def facts() -> list[tuple[Any, ...]]:
    with Store.open(database(Path.cwd())) as store:
        return [outcome(attempt, 1) for attempt in store.attempts(1)]


def test_a_run_with_islands_is_the_same_at_any_speed_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [*ANSWERS, *NOVEL])
    quick_run(tmp_path, 4, *RUN)
    undisturbed = facts()
    database(tmp_path).unlink()
    evaluate, record, calls = InstantExecutor.evaluate, Lease.add_completions, 0

    def slow(self: InstantExecutor, *given: Any) -> Any:
        sleep(0.005)
        return evaluate(self, *given)

    def record_but_once(*arguments: Any) -> list[int]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return record(*arguments)

    monkeypatch.setattr(InstantExecutor, "evaluate", slow)
    monkeypatch.setattr(Lease, "add_completions", record_but_once)
    with pytest.raises(KeyboardInterrupt):
        quick_run(tmp_path, 4, *RUN)
    quick_run(tmp_path, 4, *RUN)
    assert facts() == undisturbed

    with Store.open(database(tmp_path)) as store:
        found = store.attempts(1, with_code=True)
        asked = {(a.cycle, a.batch): store.prompt(a.prompt_hash) for a in found if not a.repairs}
        questions = [prompt.messages[-1].content for prompt in asked.values()]
        own = from_run(store, store.admitted(1))
    assert any("Take over" in text for text in questions)
    assert any("Better than" in text for text in questions)
    assert not any("Take over" in text and "Better than" in text for text in questions)
    migrated = set[int]()
    for (cycle, batch), prompt in asked.items():
        shown = "\n".join(message.content for message in prompt.messages)
        for one in own:
            if one.answer in shown:
                assert one.cycle < cycle - 1, "what the LLM learned from, too"
                migrated |= {cycle} if (one.batch - batch) % 2 else set()
    assert migrated and min(migrated) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prompt.parents={best: 1}"], r"prompt\.parents: answers of features mode change no"),
        (["prompt.parents={lemur: 1}"], r"prompt\.parents"),
        (["prompt.parents={best: 0}"], r"prompt\.parents\.best"),
        (["prompt.crossover=1.5"], r"prompt\.crossover"),
        (["prompt.islands=0"], r"prompt\.islands"),
        (["prompt.parents={corpus: 1}", "prompt.crossover=1"], "parents are to come from it"),
        (["prompt.template=delta", "prompt.parents={corpus: 1}"], "parents are to come from it"),
        (["prompt.template=delta", "candidates.repeats=crossover"], r"candidates\.repeats"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_answers(tmp_path, [GOOD])
    with pytest.raises(ConfigError, match=message):
        quick_run(tmp_path, 1, "prompt.template=features", *overrides)
