"""`candidates.best_of`: more answers are written than tried, and the LLM chooses among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Nngpt, scripted_settings
from finetuning.tiny_folder import pairs, write_tiny_model

from nngpt import plugins
from nngpt.config import CandidatesConfig, Config, LearningConfig, LLMConfig
from nngpt.errors import ModelError
from nngpt.generation import best_of
from nngpt.generation.best_of import Pool
from nngpt.generation.expectation import Matrix, Try
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.early_states import early_states
from nngpt.generation.models.loading import load_base
from nngpt.generation.prompts.quantiles import in_quantile
from nngpt.protocols import LLM
from nngpt.records import RANDOM_CHANGE, Completion, Message, Prompt, Sampling

PLAIN = Prompt("t", "0", "cell", (Message("system", "s"), Message("user", "Write.")))
ASKED = in_quantile(PLAIN, 3, 3)
SAMPLING = Sampling(max_new_tokens=4)


class Numbers:
    """Writes given texts in turn; knows how likely each is in three quantiles."""

    model, batch_size, facts = "numbers", 4, ""

    def __init__(self, texts: Sequence[str], likely: dict[str, tuple[float, ...]]) -> None:
        self.texts, self.likely, self.calls = list(texts), likely, list[tuple[int, int]]()

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        self.calls.append((count, seed))
        taken, self.texts = self.texts[:count], self.texts[count:]
        return [
            Completion(text, self.model, None, seed, n, 1, 1, 0.0) for n, text in enumerate(taken)
        ]

    def log_likelihoods(self, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
        number = int(prompt.messages[-1].content.split()[2])
        return [math.log(self.likely[one.text][number - 1]) for one in written]

    def use_adapter(self, adapter: object) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


LIKELY = {
    "a": (0.1, 0.1, 0.7),  # 7 times as likely in the best quantile as in the worst
    "b": (0.01, 0.5, 0.2),  # 20 times
    "c": (0.9, 0.9, 0.9),  # as likely, although it is the likeliest answer
    "d": (0.3, 0.3, 0.1),
    "e": (0.001, 0.001, 0.1),  # 100 times
    "f": (0.2, 0.1, 0.3),  # 1.5 times
}


def kept(texts: str, count: int, prompt: Prompt = ASKED, known: str = "", times: int = 3) -> str:
    llm: LLM = Numbers(texts, LIKELY)
    found = best_of.write(llm, prompt, count, 7, SAMPLING, Pool(times, known=known))
    assert [one.index for one in found] == list(range(count))
    assert len({one.seconds for one in found}) == 1
    return "".join(one.text for one in found)


def test_answers_likelier_in_the_best_quantile_than_in_the_worst_are_kept() -> None:
    assert kept("abcdef", 2) == "be"
    assert kept("abcdef", 3, times=2) == "abe", "in the order in which they were written"


def test_repeats_and_known_answers_come_last() -> None:
    assert kept("ebeebe", 2) == "eb"
    assert kept("abcdef", 2, known="be") == "af"
    assert kept("bbbeee", 3, known="be", times=2) == "bbe", (
        "there is nothing else: those repeated least often, the first ones first"
    )


def test_cut_off_answers_come_last() -> None:
    class Cut(Numbers):
        def generate(self, *asked: Any) -> list[Completion]:
            return [replace(c, finished=c.text not in "be") for c in super().generate(*asked)]

    found = best_of.write(Cut("abcdef", LIKELY), ASKED, 2, 7, SAMPLING, Pool(3))
    assert [one.text for one in found] == ["a", "f"]


def test_near_duplicates_come_after_what_is_less_liked() -> None:
    asked = list[str]()

    def is_near(text: str) -> bool:
        asked.append(text)
        return text in "eb"

    pool = Pool(3, is_near=is_near)
    found = best_of.write(Numbers("abcdef", LIKELY), ASKED, 2, 7, SAMPLING, pool)
    assert "".join(one.text for one in found) == "af", "in the order in which they were written"
    assert asked == ["e", "b", "a", "f"], "the most liked first, and no more than needed"
    every = replace(pool, is_near=lambda _text: True)
    found = best_of.write(Numbers("abcdef", LIKELY), ASKED, 2, 7, SAMPLING, every)
    assert "".join(one.text for one in found) == "be", "there is nothing else"


def test_a_prompt_without_a_quantile_keeps_the_first_new_ones() -> None:
    assert kept("ccdaef", 2, PLAIN) == "cd"
    assert kept("ccdaef", 2, PLAIN, known="cd") == "ae"


def test_batches_are_no_larger_than_the_llm_likes_and_have_seeds_of_their_own() -> None:
    llm = Numbers("abcdef", LIKELY)
    best_of.write(llm, ASKED, 2, 7, SAMPLING, Pool(3))
    assert [count for count, _ in llm.calls] == [4, 2]
    assert len({seed for _, seed in llm.calls}) == 2
    once = Numbers("ab", LIKELY)
    best_of.write(once, ASKED, 2, 7, SAMPLING, Pool(1, known="ab"))
    assert once.calls == [(2, 7)], "with 1, all is as without"


class LikesD(Numbers):
    """Finds cells likelier in the best quantile the more D they have."""

    def log_likelihoods(self, prompt: Prompt, written: Sequence[Completion]) -> list[float]:
        best = prompt.messages[-1].content.startswith("Accuracy quantile: 3")
        return [one.text.count("D") * 1.0 if best else 0.0 for one in written]


def test_random_changes_of_the_best_compete_with_what_the_llm_writes() -> None:
    best, known = ['"D D D A A A"'], ['"D D D D A A"']
    pool = Pool(2, 12, best, known)
    found = best_of.write(LikesD(['"A A A A A A"'] * 4, {}), ASKED, 2, 7, SAMPLING, pool)
    assert [one.text.count("D") for one in found] == [4, 4]
    assert {one.model for one in found} == {RANDOM_CHANGE}, "which tells them from the LLM's"
    assert known[0] not in [one.text for one in found]
    again = best_of.write(LikesD(['"A A A A A A"'] * 4, {}), ASKED, 2, 7, SAMPLING, pool)
    assert [one.text for one in again] == [one.text for one in found]
    written = ['"D D D D D A"', '"D D D D D B"', *['"A A A A A A"'] * 2]
    found = best_of.write(LikesD(written, {}), ASKED, 2, 7, SAMPLING, pool)
    assert [one.text for one in found] == written[:2]


class Lengths(Numbers):
    """Sees nothing of a text but how long it is."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        return np.array([[float(len(text))] for text in texts])


def test_what_came_of_tries_chooses_by_embedding() -> None:
    texts = ["xx", "xxxx", "xxxxxxxx", "xxx", "x", "xxxxxxx"]
    longer_is_better = [Try("y" * n, n / 10) for n in (1, 2, 3, 5, 6, 7)]
    pool = Pool(3, choose_by="embedding", tries=longer_is_better)
    found = best_of.write(Lengths(texts, {}), PLAIN, 2, 7, SAMPLING, pool)
    assert [one.text for one in found] == ["xxxxxxxx", "xxxxxxx"]
    shorter_runs = [replace(t, accuracy=None if len(t.answer) > 4 else 0.5) for t in pool.tries]
    found = best_of.write(
        Lengths(texts, {}), PLAIN, 2, 7, SAMPLING, replace(pool, tries=shorter_runs)
    )
    assert max(len(one.text) for one in found) < 4, "what does not run ranks last"
    found = best_of.write(Lengths(texts, {}), PLAIN, 2, 7, SAMPLING, replace(pool, tries=()))
    assert [one.text for one in found] == texts[:2], "nothing is known yet"


def test_what_cannot_be_changed_does_not_compete() -> None:
    begun = replace(ASKED, prefill='"E E')
    pool = Pool(1, 4, ['"D D D A A A"'])
    llm = LikesD([' A A A A"', ' B B B B"'], {})
    found = best_of.write(llm, begun, 2, 7, SAMPLING, pool)
    assert [one.model for one in found] == ["numbers"] * 2, "no change begins like the prompt"


def test_a_model_whose_layers_cannot_be_read_is_refused_before_the_run() -> None:
    class Whole:
        def get_decoder(self) -> Whole:
            return self

    class Reads(Lengths):
        def embed(self, texts: Sequence[str]) -> Matrix:
            early_states(Whole(), torch.zeros(1, 1, dtype=torch.long))
            raise AssertionError("it has no layers")

    wanted = CandidatesConfig(mutations=2, choose_by="embedding")
    with pytest.raises(ModelError, match="layers of Whole cannot be read one by one"):
        best_of.check(wanted, Reads("", {}))
    best_of.check(CandidatesConfig(mutations=2), Reads("", {}))


def test_a_prompt_without_a_quantile_takes_changes_only_in_place_of_repeats() -> None:
    pool = Pool(1, 4, ['"D D D A A A"'], ['"A A A A A A"'])
    llm = LikesD(['"A A A A A A"', '"B B B B B B"'], {})
    found = best_of.write(llm, PLAIN, 2, 7, SAMPLING, pool)
    assert [one.model for one in found] == ["numbers", RANDOM_CHANGE]


def test_a_text_is_as_likely_as_its_tokens_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts of several lengths in one batch, and in parts, against the plain computation."""
    base = load_base(
        LLMConfig(model=write_tiny_model(tmp_path / "tiny"), device="cpu", dtype="float32")
    )
    llm, texts = TransformersLLM(base, 4), ["A B", "one two three four", "x", "A B C"]
    written = [
        Completion(text, "tiny", None, 0, n, 1, 1, 0.0, finished=n != 2)
        for n, text in enumerate(texts)
    ]
    found = llm.log_likelihoods(PLAIN, written)
    asked = chat.encode(base.tokenizer, chat.render(base.tokenizer, PLAIN))
    for one, likelihood in zip(written, found, strict=True):
        answer = chat.encode(base.tokenizer, one.text)
        answer += [base.tokenizer.eos_token_id] * one.finished
        with torch.no_grad():
            logits = base.model(torch.tensor([asked + answer])).logits[0, len(asked) - 1 : -1]
        each = logits.log_softmax(1)[range(len(answer)), answer]
        assert likelihood == pytest.approx(each.sum().item(), abs=1e-4)
    small = TransformersLLM(base, 3)
    assert small.log_likelihoods(PLAIN, written) == pytest.approx(found, abs=1e-4)
    monkeypatch.setattr("nngpt.generation.llm.transformers._SCORED", 1)
    assert llm.log_likelihoods(PLAIN, written) == pytest.approx(found, abs=1e-4)
    nothing = replace(written[0], text="", finished=False)
    assert llm.log_likelihoods(PLAIN, [nothing, written[1]]) == pytest.approx(
        [0, found[1]], abs=1e-4
    )
    assert llm.log_likelihoods(PLAIN, []) == []
    cut = llm.log_likelihoods(PLAIN, [replace(written[0], finished=False)])
    assert cut[0] > found[0], "the end of the turn counts"


def test_a_text_has_the_same_vector_in_any_batch_and_with_any_adapter(tmp_path: Path) -> None:
    """Against the plain hidden states of each text alone, read through all layers."""
    folder = write_tiny_model(tmp_path / "tiny")
    base = load_base(LLMConfig(model=folder, device="cpu", dtype="float32"))
    texts = ["A B C", "x", "one two three four", "A B C"]
    found = TransformersLLM(base, 4).embed(texts)
    assert found.shape == (4, base.model.config.hidden_size)
    first = min(TransformersLLM(base, 4)._ends)
    for text, vector in zip(texts, found, strict=True):
        ids = torch.tensor([[first, *chat.encode(base.tokenizer, text)]])
        with torch.no_grad():
            states = base.model(ids, output_hidden_states=True).hidden_states[1]
        assert vector == pytest.approx(states[0, 1:].mean(0).numpy(), abs=1e-4)
    assert TransformersLLM(base, 1).embed(texts) == pytest.approx(found, abs=1e-4)
    tuned = TransformersLLM(base, 4)
    settings = LearningConfig(rank=4, epochs=3, learning_rate=0.1)
    learner = plugins.create("learner", "sft", Config(learning=settings), tuned)
    tuned.use_adapter(learner.learn(pairs(), "one", tmp_path, None, 3, lambda *_: None))
    assert tuned.embed(texts) == pytest.approx(found, abs=1e-4)
    tuned.use_adapter(None)


@pytest.mark.parametrize(
    ("key", "without", "choice", "does"),
    [
        ("best_of", 1, "likelihood", "tell how likely an answer is"),
        ("mutations", 0, "embedding", "turn answers into vectors"),
    ],
)
def test_a_backend_that_cannot_compare_is_refused(
    nngpt: Nngpt, tmp_path: Path, key: str, without: int, choice: str, does: str
) -> None:
    settings = [*scripted_settings(tmp_path), "--set", f"candidates.choose_by={choice}"]
    told = nngpt("cycle", "run", "smoke-mnist", *settings, "--set", f"candidates.{key}=2")
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1] == (
        f"nngpt: candidates.{key}: the backend of 'scripted' does not {does}. Set it to {without}."
    )
