"""DPO and KTO on a tiny model, from the answers in a run's database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import store_samples
from store_samples import NOVEL, TASK

from nngpt.config import Config
from nngpt.errors import ConfigError, LearningFailed, UserError
from nngpt.finetuning import training_folder
from nngpt.finetuning.preferences import (
    PreferenceLearner,
    PreferenceStep,
    dpo_row,
    hash_answers,
    kto_row,
    pair_answers,
    read_answers,
    tokenize_answer,
    with_kl,
)
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.adapters import read_adapter
from nngpt.generation.models.loading import LoadedBase
from nngpt.records import Adapter, Completion, Message, Prompt, Refusal, Stage
from nngpt.store import RunRecord, Store

PROMPT = Prompt(
    "test",
    "0",
    "features",
    (Message("user", "Write a network."),),
    prefill="nn.Sequential(\n    nn.LazyConv2d(",
    stop=("\n)",),
)
GOOD = ["24, 5),\n    nn.SiLU(),\n)", "16, 3),\n    nn.ReLU(),\n    nn.Dropout(0.2),\n)"]
BAD = {
    Stage.PARSE: "24, 5),\n    nn.Si",
    Stage.BUILD: "24, 5),\n    nn.LazySiLU(),\n)",
    Stage.THRESHOLD: "1, 1, stride=28),\n)",
}
TWINS = {Stage.DUPLICATE: GOOD[0], Stage.NOVELTY: GOOD[0].replace("24", "25")}
CONFIG = Config.model_validate(
    {
        "llm": {"device": "cpu"},
        "learning": {
            "rank": 4,
            "layers": 2,
            "batch_size": 2,
            "accumulation": 1,
            "schedule": "constant",
        },
        "preference": {"learning_rate": 0.005},
    }
)


def written(text: str, finished: bool = True) -> Completion:
    return Completion(text, "tiny", None, 1, 0, 20, 9, 0.1, finished)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "nngpt.db") as opened:
        yield opened


def fill(store: Store, good: list[str], bad: dict[Stage, str]) -> RunRecord:
    """Store a run with admitted answers, and answers refused at a stage."""
    run = store_samples.start(store, "".join(bad) + str(len(good)))
    texts = [(text, None) for text in good] + [(text, stage) for stage, text in bad.items()]
    with store.lease(run.id) as lease:
        completions = [written(text, stage is not Stage.PARSE) for text, stage in texts]
        ids = lease.add_completions(1, 0, PROMPT, completions)
        for attempt, (text, stage) in zip(ids, texts, strict=True):
            if stage is None:
                store_samples.bring_to_training(lease, attempt, f"class Net: '''{text}'''\n")
                lease.trained(attempt, store_samples.evaluation(0.5), TASK)
                lease.judged(attempt, NOVEL)
                lease.admit(attempt)
            else:
                lease.refuse(attempt, Refusal(stage, "no"))
    return run


# ---------------------------------------------------------------- answers


def test_good_bad_and_neither(store: Store) -> None:
    run = fill(store, GOOD, {**BAD, **TWINS})
    answers = read_answers(store, run.id)
    assert [a.pair.completion for a in answers if a.good] == GOOD
    assert [a.pair.completion for a in answers if not a.good] == list(BAD.values()), (
        "twins are neither"
    )
    assert [a.pair.finished for a in answers] == [True, True, False, True, True]
    assert {a.pair.prompt for a in answers} == {PROMPT}
    assert hash_answers(answers) == hash_answers(answers) != hash_answers(answers[1:])


def test_every_good_answer_meets_rivals(store: Store) -> None:
    answers = read_answers(store, fill(store, GOOD, BAD).id)
    pairs = pair_answers(answers, rivals=2, seed=1)
    assert len(pairs) == 4
    assert all(p.chosen.good and not p.rejected.good for p in pairs)
    assert {p.rejected.pair.completion for p in pairs} == set(BAD.values()), (
        "all bad answers are used"
    )
    assert pairs == pair_answers(answers, rivals=2, seed=1)
    assert len(pair_answers(answers, rivals=99, seed=1)) == 6


def test_prompts_are_not_mixed(store: Store) -> None:
    answers = read_answers(store, fill(store, GOOD, BAD).id)
    other = replace(PROMPT, prefill="nn.Sequential(")
    apart = [a if a.good else replace(a, pair=replace(a.pair, prompt=other)) for a in answers]
    with pytest.raises(UserError, match="no prompt of this run has both"):
        pair_answers(apart, rivals=2, seed=1)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (GOOD, TWINS, "2 admitted and 0 refused answers"),
        ([], BAD, "0 admitted and 3 refused answers"),
        ([], TWINS, "0 admitted and 0 refused answers"),
    ],
)
def test_a_run_without_a_pair_is_refused(
    store: Store, good: list[str], bad: dict[Stage, str], said: str
) -> None:
    run = fill(store, good, bad)
    with pytest.raises(UserError, match=said):
        read_answers(store, run.id)


# ---------------------------------------------------------------- learning


@pytest.fixture
def base(llm: TransformersLLM) -> LoadedBase:
    llm.use_adapter(None)
    return llm.base


def learner(
    base: LoadedBase, folder: Path, parent: Adapter | None = None, **learning: Any
) -> PreferenceLearner:
    tuned = CONFIG.learning.model_copy(update=learning)
    config = CONFIG.model_copy(update={"learning": tuned})
    folder.mkdir(exist_ok=True)
    settings = training_folder.preference_settings(config, parent, "dpo", "d1")
    return PreferenceLearner(config, base, folder, "test-dpo", parent, "d1", settings)


def test_the_ids_are_the_renderer_s_own(store: Store, base: LoadedBase) -> None:
    """One renderer: TRL adds no special token and no chat template."""
    tokenizer = base.tokenizer
    answers = read_answers(store, fill(store, GOOD, BAD).id)
    for answer in answers:
        prompt, ids = tokenize_answer(tokenizer, answer)
        asked = chat.encode(tokenizer, chat.render(tokenizer, PROMPT))
        learned = chat.encode(tokenizer, answer.pair.completion)
        assert prompt == asked
        assert ids == [*learned, *[tokenizer.eos_token_id] * answer.pair.finished]
    rows = with_kl([kto_row(tokenizer, answer) for answer in answers], 2)
    assert [row["label"] for row in rows] == [True, True, False, False, False]
    assert rows[0]["KL_completion_ids"] == rows[1]["completion_ids"]
    assert rows[1]["KL_completion_ids"] == rows[0]["completion_ids"]


def test_dpo_prefers_what_was_admitted(store: Store, base: LoadedBase, tmp_path: Path) -> None:
    pairs = pair_answers(read_answers(store, fill(store, GOOD, BAD).id), 2, 1)
    steps: list[PreferenceStep] = []
    adapter = learner(base, tmp_path / "dpo").dpo(pairs, steps.append)
    assert [(s.step, s.steps) for s in steps] == [(1, 2), (2, 2)]
    assert steps[0].margin == pytest.approx(0.0, abs=1e-6), "the reference is where it started"
    assert steps[1].margin is not None and steps[1].margin > 0.0
    assert read_adapter(tmp_path / "dpo" / "adapter") == adapter
    tokens = sum(
        len(row["chosen_ids"]) + len(row["rejected_ids"])
        for row in (dpo_row(base.tokenizer, pair) for pair in pairs)
    )
    assert (adapter.parent, adapter.pairs, adapter.tokens) == (None, 4, tokens)
    assert "forward" not in vars(base.model)
    child = learner(base, tmp_path / "kto", parent=adapter, batch_size=5)
    kto: list[PreferenceStep] = []
    grown = child.kto(read_answers(store, 1), kto.append)
    assert (grown.parent, grown.pairs, len(kto)) == ("test-dpo", 5, 1)
    assert not (Path(grown.path) / "ref").exists()


def test_impossible_trainings_are_refused(store: Store, base: LoadedBase, tmp_path: Path) -> None:
    answers = read_answers(store, fill(store, GOOD, BAD).id)
    with pytest.raises(ConfigError, match=r"learning\.batch_size: KTO compares"):
        learner(base, tmp_path, batch_size=1).kto(answers, lambda _: None)
    with pytest.raises(LearningFailed, match="none of the answers fits"):
        learner(base, tmp_path, max_length=9).dpo(pair_answers(answers, 1, 1), lambda _: None)
