"""The embedded model in runs of cells: DPO and GRPO with a kill in mid-learning, best of many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from test_cell_runs import CELLS, SCRIPTED, attempts, facts, run

from nngpt.config import LLMConfig
from nngpt.data.nasbench201 import Table
from nngpt.errors import LearningFailed
from nngpt.finetuning.learners.sft import LoraLearner
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.generation import expectation
from nngpt.generation.llm import transformers
from nngpt.generation.models.loading import LoadedBase, load_base
from nngpt.records import RANDOM_CHANGE, Adapter, Arm, TrainingPair
from nngpt.store import Store

SMALL = (
    *("candidates.per_cycle=3", "learning.layers=1", "learning.rank=2"),
    *("learning.epochs=1", "learning.checkpoint_s=0", "learning.batch_size=1"),
)
LEARNERS = {"dpo": ("learning.options.rivals=3",), "grpo": ()}


class Killed(Exception):  # noqa: N818 (no error of ours)
    """Ends a run in the middle of a step."""


@pytest.fixture(scope="module")
def base() -> LoadedBase:
    """The embedded model, loaded once: that takes longer than a run, which returns it unchanged."""
    return load_base(LLMConfig())


def adapters(folder: Path) -> list[Adapter]:
    with Store.open(folder / "runs" / "nngpt.db") as store:
        return list(store.adapters(1).values())


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_embedded_model_compares_its_answers_and_a_resumed_run_is_the_same(
    table: Table, base: LoadedBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str
) -> None:
    given = (*SMALL, f"learning.learner={learner}", *LEARNERS[learner])
    monkeypatch.setattr(transformers, "load_base", lambda _: base)
    run(tmp_path / "whole", 1, *given)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    run(tmp_path / "whole", 2, *given)
    whole = adapters(tmp_path / "whole")
    step, taken = TrainingLoop._one_step, list[int]()

    def killed(self: TrainingLoop, *rest: Any) -> None:
        taken.append(self._step)
        if taken == [0, 1]:
            raise Killed
        step(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_one_step", killed)
        with pytest.raises(Killed):
            run(tmp_path / "cut", 2, *given)
        run(tmp_path / "cut", 2, *given)
    assert taken[:3] == [0, 1, 1], "it resumed where it was killed"
    assert facts(attempts(tmp_path / "cut")) == facts(attempts(tmp_path / "whole"))
    for one, other in zip(whole, adapters(tmp_path / "cut"), strict=True):
        same = load_file(Path(other.path) / "adapter_model.safetensors")
        weights = load_file(Path(one.path) / "adapter_model.safetensors")
        assert all(weight.equal(same[name]) for name, weight in weights.items())
        assert (one.corpus_hash, one.loss_last) == (other.corpus_hash, other.loss_last)
    assert [a.parent for a in whole] == [None, whole[0].name]


@pytest.mark.parametrize("mutations", [0, 4])
def test_the_embedded_model_chooses_among_its_cells_and_a_resumed_run_is_the_same(
    table: Table,
    base: LoadedBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutations: int,
) -> None:
    monkeypatch.setattr(transformers, "load_base", lambda _: base)
    asked: list[tuple[str, int]] = []
    score = transformers.TransformersLLM.log_likelihoods

    def log_likelihoods(self: Any, prompt: Any, written: Any) -> list[float]:
        asked.append((prompt.messages[-1].content.partition("\n")[0], len(written)))
        return score(self, prompt, written)

    monkeypatch.setattr(transformers.TransformersLLM, "log_likelihoods", log_likelihoods)
    given = (
        *(*SMALL, "learning.select=all", "prompt.accuracy_quantiles=2"),
        *("candidates.best_of=4", f"candidates.mutations={mutations}", "llm.batch_size=12"),
        *("candidates.choose_by=likelihood", "candidates.repeats=refuse"),
    )
    run(tmp_path / "whole", 2, *given)
    questions = [f"Accuracy quantile: {number} of 2" for number in (2, 1)]
    named = [question for question, _ in asked]
    assert named == questions, "not in the first cycle, whose question names no quantile"
    assert all(3 < count <= 12 + 3 * mutations for _, count in asked), "only new ones"
    run(tmp_path / "halves", 1, *given)
    run(tmp_path / "halves", 2, *given)
    found = attempts(tmp_path / "whole")
    assert facts(attempts(tmp_path / "halves")) == facts(found)
    texts = [a.completion.text for a in found]
    assert len(texts) == 6 == len(set(texts)), "no text is chosen twice"


def test_a_process_chooses_from_what_the_loop_tried_and_a_resumed_run_is_the_same(
    table: Table, base: LoadedBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers, "load_base", lambda _: base)
    known: list[tuple[list[str], list[Any]]] = []
    promise = expectation.promise

    def watched(tried: Any, tries: Any, asked: Any) -> Any:
        known.append(([t.answer for t in tries], [t.accuracy for t in tries]))
        return promise(tried, tries, asked)

    monkeypatch.setattr(expectation, "promise", watched)
    given = (
        *(*SMALL, "learning.enabled=false", "candidates.best_of=2", "candidates.mutations=4"),
        *("candidates.per_cycle=6", "controls.base=0.5"),
    )
    run(tmp_path / "whole", 2, *given)
    found = attempts(tmp_path / "whole")
    first = [a for a in found if a.cycle == 1 and a.arm is Arm.LOOP]
    assert known == [([a.candidate.written for a in first], [a.result.accuracy for a in first])], (
        "of the loop's own, and only for the loop"
    )
    with Store.open(tmp_path / "whole" / "runs" / "nngpt.db") as store:
        counted = [s.random_changes for s in store.summary(1)]
    changed = [a.completion.model == RANDOM_CHANGE for a in found if a.arm is Arm.LOOP]
    assert sum(counted) == sum(changed) > 0 == counted[0]
    frozen = [a.completion.model for a in found if a.arm is Arm.BASE and not a.repairs]
    assert frozen and RANDOM_CHANGE not in frozen, "the frozen LLM writes its first answers itself"
    run(tmp_path / "halves", 1, *given)
    run(tmp_path / "halves", 2, *given)
    assert facts(attempts(tmp_path / "halves")) == facts(found)


def write_script(folder: Path, cells: list[str]) -> None:
    lines = (json.dumps({"text": f'"{cell}"'}) + "\n" for cell in cells)
    (folder / "cells.jsonl").write_text("".join(lines))


@pytest.mark.parametrize("learner", LEARNERS)
def test_what_is_compared_and_a_cycle_without_a_difference(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learner: str
) -> None:
    """Controls and held-out networks are not seen; the second cycle only repeats, and goes on."""
    monkeypatch.chdir(tmp_path)
    write_script(tmp_path, CELLS)
    compared: list[list[TrainingPair]] = []

    def refuse(_: Any, pairs: list[TrainingPair], *rest: Any) -> Adapter:
        compared.append(pairs)
        raise LearningFailed("nothing is tuned here")

    monkeypatch.setattr(LoraLearner, "learn", refuse)
    given = (
        *SCRIPTED,
        "candidates.repeats=refuse",
        "candidates.per_cycle=8",
        "learning.held_out=2",
    )
    more = (f"learning.learner={learner}", "controls.base=0.25", "learning.select=all")
    run(tmp_path, 2, *given, *more)
    found = [a for a in attempts(tmp_path) if a.cycle == 1]
    mine = [a for a in found if a.arm is Arm.LOOP and a.evaluation]
    learned = {a.completion.text for a in mine[::2]}
    with Store.open(tmp_path / "runs" / "nngpt.db") as store:
        first, second = store.summary(1)
    assert first.skipped == "nothing is tuned here"
    accuracy = {a.completion.text: a.evaluation.accuracy for a in mine if a.evaluation}
    (pairs,) = compared
    if learner == "dpo":
        assert {text for pair in pairs for text in (pair.completion, pair.rival)} == learned
        assert all(accuracy[pair.completion] >= accuracy[pair.rival] + 0.01 for pair in pairs)
    else:
        assert {pair.completion for pair in pairs} == learned
        assert sorted(pairs, key=lambda p: p.advantage) == sorted(
            pairs, key=lambda p: accuracy[p.completion]
        )
    assert second.skipped == "there are no new answers of different accuracies to compare"
