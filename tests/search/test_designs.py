"""The LLM's part of a search: its settings, its rounds, and what it is shown and learns."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from command_line import ALSO_GOOD, GOOD, NEAR_TWIN, begin_nngpt, run_nngpt, write_bright_and_dark

from nngpt.config import load
from nngpt.data.sources import mnist
from nngpt.data.splits import Splits
from nngpt.errors import ModelError
from nngpt.files import DATABASE
from nngpt.generation.contract import make_reader
from nngpt.generation.prompts import template
from nngpt.generation.prompts.known import read_pool
from nngpt.records import Candidate
from nngpt.search import llm_settings
from nngpt.search.designs import prepare_round, round_config
from nngpt.search.entrants import answer_of
from nngpt.search.journal import Journal, StageRecord
from nngpt.search.ladder import Entrant
from nngpt.search.plan import Plan, make_plan
from nngpt.search.portfolio import read_portfolio
from nngpt.search.recipe import Recipe
from nngpt.search.request import make_request
from nngpt.store import Store

OTHER = ("llm.backend=openai", "llm.options.url=http://localhost:1/v1", "llm.model=any")

PLAN = Plan(candidates=1, designs=5, first_s=1.0, recipe=Recipe(), reasons=())


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ((), "prompt.template", "tuned-features"),
        ((), "llm.adapter", "smollm2-135m-lemur"),
        (("prompt.template=features",), "prompt.template", "features"),
        (("prompt.template=features",), "llm.adapter", None),
        (("prompt.template=tuned-body",), "llm.adapter", "smollm2-135m-lemur"),
        (("sampling.temperature=0.3",), "sampling.temperature", 0.3),
        (("sampling.temperature=0.3",), "sampling.max_new_tokens", 320),
        (("candidates.repairs=2",), "candidates.repairs", 2),
        (OTHER, "prompt.template", "delta"),
        (OTHER, "llm.model", "any"),
        (OTHER, "llm.adapter", None),
    ],
)
def test_settings_of_the_user_hold_and_others_suit_the_model(
    overrides: tuple[str, ...], key: str, value: object, tmp_path: Path
) -> None:
    request = make_request(load(None, overrides), 1.0, tmp_path, tmp_path)
    section, _, name = key.partition(".")
    found = round_config(request, PLAN, 1, 5).model_dump(mode="json")
    assert found[section][name] == value
    assert found["candidates"]["per_cycle"] == 5
    assert not found["learning"]["enabled"]


@pytest.mark.parametrize(
    ("overrides", "seconds", "rounds", "tuned", "told"),
    [
        ((), 60, 1, False, "in one round of 60 s"),
        ((), 120, 2, False, "without learning (no time)"),
        ((), 240, 2, True, "halves of its better ones"),
        (("learning.enabled=true",), 120, 2, True, "after learning"),
        (("learning.enabled=false",), 240, 2, False, "without learning"),
        (OTHER, 240, 2, False, "any (openai)"),
        (("cycles=3",), 60, 3, False, "3 rounds"),
        (("cycles=30",), 60, 6, False, "6 rounds"),
    ],
)
def test_the_rounds_follow_from_the_time(
    overrides: tuple[str, ...], seconds: float, rounds: int, tuned: bool, told: str
) -> None:
    found = llm_settings.choose_rounds(load(None, overrides), seconds, 12)
    assert found[:2] == (rounds, tuned)
    assert told in found[2]


@pytest.mark.parametrize(
    ("overrides", "minutes", "asked", "expected"),
    [
        ((), 21.0, None, (4, 2)),
        ((), 10.0, None, (0, 0)),
        (("candidates.per_cycle=4",), 20.0, None, (8, 2)),
        (("candidates.per_cycle=4", "cycles=3"), 20.0, None, (12, 3)),
        (("candidates.per_cycle=4",), 20.0, 5, (5, 2)),
    ],
)
def test_the_user_sets_the_networks_of_all_rounds_or_of_each(
    overrides: tuple[str, ...], minutes: float, asked: int | None, expected: tuple[int, int]
) -> None:
    request = make_request(load(None, overrides), minutes, Path("best"), designs=asked)
    splits = SimpleNamespace(shape=(1, 28, 28), train=SimpleNamespace(count=64))
    plan = make_plan(request, cast(Splits, splits), 60, 2, "")
    assert (plan.designs, plan.rounds) == expected
    assert f"LLM: {asked or expected[0] or 'takes'}" in plan.reasons[0]


@pytest.mark.parametrize(("template", "shots"), [("delta", None), ("full", 2)])
def test_the_best_third_is_shown_to_a_model_that_writes_or_changes_whole_networks(
    template: str, shots: int | None, tmp_path: Path
) -> None:
    base = load(None, [*OTHER, f"prompt.template={template}"])
    reader = make_reader(load(None, ["prompt.template=full"]), mnist.create(None))
    field = []
    for number, network in enumerate(read_portfolio()[:6]):
        candidate = reader.read(answer_of(network))
        assert isinstance(candidate, Candidate)
        entrant = Entrant(network.name, candidate, "", network.licence, Recipe())
        field.append((entrant, StageRecord("", candidate.content_hash, number, 10)))
    request, journal = make_request(base, 1.0, tmp_path, tmp_path), Journal(tmp_path, 60.0, 0.0)
    prepare_round(request, journal, 1, field)
    prepare_round(request, journal, 1, field[:3])  # it has begun
    config = round_config(request, PLAN, 1, 5)
    assert config.prompt.shots == shots
    pool = read_pool(config, make_reader(config, mnist.create(None)), lambda _: None)
    assert [one.candidate.code for one in pool] == [one.candidate.code for one, _ in field[:-3:-1]]
    assert [one.accuracy for one in pool] == [0.5, 0.4]


def test_a_model_that_the_user_names_must_be_there() -> None:
    with pytest.raises(ModelError, match="no such model"):
        llm_settings.problem(load(None, ["llm.model=smollm3"]))


def test_a_search_killed_in_its_second_round_goes_on_in_it(tmp_path: Path) -> None:
    write_bright_and_dark(tmp_path / "images")
    answers = (GOOD, ALSO_GOOD, NEAR_TWIN)
    (tmp_path / "script.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in answers))
    settings = {
        "llm.backend": "scripted",
        "llm.options.script": "script.jsonl",
        "llm.batch_size": 3,
        "candidates.repairs": 0,
        "prompt.template": "tuned-features",
        "learning.enabled": "true",
        "learning.learner": "crash.instant_learner",
        "cycles": 2,
    }
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    few = ("--candidates", 1, "--minutes", 4.9, "--set", "task.train_limit=8")
    command = ("search", "images", *few, "--designs", 6, "--folder", "work", *sets)
    for sign in ("work/llm-2.own.jsonl", "work/rung1-*"):
        running = begin_nngpt(tmp_path, command)
        while not running.ended and not list(tmp_path.glob(sign)):
            time.sleep(0.05)
        assert not running.ended, running.wait(60).stderr
        running.send_signal(signal.SIGKILL)
        running.wait(60)

    with Store.open(tmp_path / "work" / DATABASE, create=False) as store:
        runs = {run.name: run for run in store.runs()}
        assert list(runs) == ["portfolio", "llm", "llm-2"]
        attempts = {name: store.attempts(run.id) for name, run in runs.items()}
        assert [len(found) for found in attempts.values()] == [1, 3, 3]
        adapter = store.adapter(runs["llm-2"].id, 0)
        (begun,) = {store.prompt(one.prompt_hash).prefill for one in attempts["llm-2"]}
    assert adapter is not None
    assert adapter.pairs == 2
    prefill = template.load("tuned-features").prefill
    assert any(begun != prefill and (prefill + text).startswith(begun) for text in answers)
    assert {one.completion.adapter for one in attempts["llm-2"]} == {adapter.name}
    listed = run_nngpt(tmp_path, ("cycle", "list", "--folder", "work"))
    assert all(name in listed.stdout for name in runs)
