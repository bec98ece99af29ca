"""DPO and GRPO in the cycle: losses by hand and in plain torch, what is compared, mistakes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_folder import TINY
from tiny_model import compared, tiny_model

from nngpt import config, plugins
from nngpt.config import LearningConfig
from nngpt.errors import ConfigError, LearningFailed
from nngpt.finetuning.learners.dpo import PreferenceObjective
from nngpt.finetuning.learners.grpo import GroupObjective
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.finetuning.sft.objective import Objective
from nngpt.finetuning.sft.packing import TokenizedPair
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.pairs import corpus_hash
from nngpt.protocols import ComparesAnswers, Learner
from nngpt.records import MeasuredAnswer, Message, Prompt, TrainingPair

DPO, GRPO = PreferenceObjective(0.5), GroupObjective(0.3, 0.2)
PROMPT = Prompt("test", "0", "features", (Message("user", "Write a network."),))

# ---------------------------------------------------------------- losses


def test_the_losses_are_those_of_the_papers_by_hand() -> None:
    """Log-probabilities −1, −2 | −3 now and −2, −2 | −1 at the start."""
    now, start = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 1.0])
    pair = TokenizedPair((7,), (1, 2), (3,))
    margin = 0.5 * (1 - -2)
    assert DPO.loss(now, start, [pair]).item() == pytest.approx(math.log(1 + math.exp(-margin)))
    assert DPO.loss(now, start, [pair]).item() == pytest.approx(0.201413, abs=1e-6)

    group = [TokenizedPair((7,), (1, 2), advantage=1.0), TokenizedPair((7,), (3,), advantage=-2.0)]
    first = 1.2 - 0.3 * (math.exp(-1) + 1 - 1)  # r = e is clipped
    second = 1.0 - 0.3 * 0
    third = -2 * 0.8 - 0.3 * (math.exp(2) - 2 - 1)  # r = e⁻² is clipped
    assert GRPO.loss(now, start, group).item() == pytest.approx(-(first + second) / 2 - third)
    assert GRPO.loss(now, start, group).item() == pytest.approx(1.871899, abs=1e-6)
    assert Objective().loss(now, start[:0], group).item() == 6
    assert [o.size(group) for o in (Objective(), DPO, GRPO)] == [3, 2, 2]


def log_probabilities(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of each answer token, computed in the plain way."""
    logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(dim=1)[range(len(answer)), answer]


def plain_loss(objective: Objective, model: Any, start: Any) -> torch.Tensor:
    """Return the mean loss as the papers write it, one answer at a time."""

    def change(pair: TokenizedPair, answer: Sequence[int]) -> torch.Tensor:
        with torch.no_grad():
            before = log_probabilities(start, pair.prompt, answer)
        return log_probabilities(model, pair.prompt, answer) - before

    losses = []
    for pair in compared(rivals=objective is DPO):
        if objective is GRPO:
            log = change(pair, pair.answer)
            clipped = torch.clip(log.exp(), 0.8, 1.2) * pair.advantage
            divergence = 1 / log.exp() + log - 1
            gain = torch.min(log.exp() * pair.advantage, clipped) - 0.3 * divergence
            losses.append(-gain.mean())
        else:
            margin = change(pair, pair.answer).sum() - change(pair, pair.rival).sum()
            losses.append(-torch.log(torch.sigmoid(0.5 * margin)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("objective", [DPO, GRPO], ids=["dpo", "grpo"])
@pytest.mark.parametrize(
    "settings",
    [
        {"tokens_per_batch": 1},
        {"tokens_per_batch": 1000, "gradient_checkpointing": True},
        {"packing": False},
    ],
)
def test_a_step_has_the_loss_and_gradients_of_its_answers(
    objective: Objective, settings: dict[str, Any], tmp_path: Path
) -> None:
    """The second step, at which the LLM is no longer that of the start; dropout is off."""
    model, given = tiny_model(dropout=0.3), compared(rivals=objective is DPO)
    weights: dict[int, dict[str, torch.Tensor]] = {}
    seen: dict[str, torch.Tensor] = {}

    def watch(point: Any) -> None:
        weights[point.step] = {n: w.clone() for n, w in model.state_dict().items()}
        if point.step == 2:
            seen.update({n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad})

    learning = LearningConfig(
        **{"epochs": 2, "batch_size": 7, "learning_rate": 0.05, "max_grad_norm": 1e9, **settings}
    )
    loop = TrainingLoop(model, learning, "adamw", 1, objective)
    points = loop.run(given, (), Checkpoint(tmp_path / "no", "", 1e9), watch, lambda _: None)

    plain = tiny_model()
    plain.load_state_dict(weights[1])
    expected = plain_loss(objective, plain, tiny_model())
    expected.backward()
    first = math.log(2) if objective is DPO else -sum(pair.advantage for pair in given) / 7
    assert points[1].loss == pytest.approx(first, abs=1e-5)
    assert points[2].loss == pytest.approx(expected.item(), abs=1e-5) != pytest.approx(first)
    for name, weight in plain.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(seen[name], weight.grad, atol=1e-5, rtol=1e-3)


# ---------------------------------------------------------------- comparisons


def answer(number: int, accuracy: float | None, cycle: int = 1, **more: Any) -> MeasuredAnswer:
    prompt = replace(PROMPT, template_hash=more.pop("kind", "0"))
    pair = TrainingPair(prompt, f"text {number}", f"attempt {number}")
    return MeasuredAnswer(pair, cycle, more.get("parsed", True), accuracy)


ANSWERS = [
    answer(1, 0.5),
    answer(2, 0.505),
    answer(3, None),
    answer(4, None, parsed=False),
    answer(5, 0.9, kind="1"),
    answer(6, 0.8, cycle=2),
    answer(7, None, cycle=2, parsed=False),
]


def learner(llm: TransformersLLM, name: str, *overrides: str) -> Any:
    given = ["learning.start=last", "learning.rank=4", "learning.layers=1"]
    given += ["evaluation.retrain=false", *overrides]
    settings = config.load(None, [f"learning.learner={name}", *given])
    made = plugins.create("learner", name, settings, llm, options=settings.learning.options)
    assert isinstance(made, Learner) and isinstance(made, ComparesAnswers)
    return made


def test_dpo_pairs_better_answers_with_worse_ones_of_their_kind(llm: TransformersLLM) -> None:
    asked = Prompt("test", "0", "features", (Message("user", "Write a better one."),))
    learned = [
        replace(a.pair, prompt=asked if a.pair.prompt == PROMPT else a.pair.prompt, completion="x")
        for a in ANSWERS
        if a.accuracy is not None
    ]
    many = learner(llm, "dpo", "learning.options.rivals=9")
    pairs = many.compare(learned, ANSWERS, 2, 1)
    met = {(pair.completion, pair.rival) for pair in pairs}
    assert met == {
        *(("text 1", "text 3"), ("text 2", "text 3")),  # the margin is one point
        *(("text 6", "text 1"), ("text 6", "text 2"), ("text 6", "text 3")),
    }
    assert {pair.prompt for pair in pairs} == {asked} and len(pairs) == 5
    few = learner(llm, "dpo")
    assert len(few.compare(learned, ANSWERS, 2, 1)) == 3
    assert few.compare(learned, ANSWERS, 2, 1) == few.compare(learned, ANSWERS, 2, 1)
    assert few.compare(learned[:1], ANSWERS[:2], 1, 1) == []
    assert few.compare(learned, ANSWERS, 3, 1) == []  # nothing to learn is new
    cut_off = [replace(a, pair=replace(a.pair, finished=a.accuracy is not None)) for a in ANSWERS]
    pairs = many.compare(learned, cut_off, 2, 1)
    assert {(pair.completion, pair.rival) for pair in pairs} == {
        *(("text 6", "text 1"), ("text 6", "text 2")),
    }
    assert corpus_hash(pairs) != corpus_hash([replace(pair, rival="") for pair in pairs])


@pytest.mark.parametrize(
    ("cycle", "advantages"),
    [
        (1, {1: 0.347, 2: 0.361, 3: -1.110, 4: -1.110, 5: 1.512}),
        (2, {6: 1.0, 7: -1.0}),
        (3, {}),
    ],
)
def test_grpo_compares_the_answers_of_the_cycle(
    llm: TransformersLLM, cycle: int, advantages: dict[int, float]
) -> None:
    pairs = learner(llm, "grpo").compare([], ANSWERS, cycle, 1)
    found = {int(pair.source.split()[1]): pair.advantage for pair in pairs}
    assert found == pytest.approx(advantages, abs=0.001)
    assert sum(found.values()) == pytest.approx(0)
    assert {pair.prompt for pair in pairs} <= {a.pair.prompt for a in ANSWERS}


@pytest.mark.parametrize("answers", [[], ANSWERS[:1], [ANSWERS[3], ANSWERS[2]]])
def test_equally_good_answers_teach_nothing(
    llm: TransformersLLM, answers: list[MeasuredAnswer]
) -> None:
    assert learner(llm, "grpo").compare([], answers, 1, 1) == []


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("dpo", ["start=base"], "learning.start: the learner 'dpo' compares the run's answers"),
        ("grpo", ["start=base"], "Set it to last."),
        ("dpo", ["corpus=x.jsonl"], "learning.corpus: .* Set it to null."),
        ("grpo", ["replay=0.5"], "learning.replay"),
        ("dpo", ["on_collapse=replay"], "learning.on_collapse: .* Set it to tell."),
        ("dpo", ["options.margin=0"], "learning.options.margin: .* greater than 0"),
        ("grpo", ["options.margin=0.1"], "unknown key 'learning.options.margin'"),
        ("dpo", ["options.beta=0"], "learning.options.beta"),
    ],
)
def test_mistakes(llm: TransformersLLM, name: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        learner(llm, name, *(f"learning.{one}" for one in overrides))
    assert re.search(message, caught.value.line())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("candidates.lag=1", "candidates.lag: .* changes the adapter that wrote the answers"),
        ("evaluation.retrain=true", "evaluation.retrain: .* only admitted networks are trained"),
        ("evaluation.early_stop=true evaluation.epochs=5", "early_stop: .* Set it to false"),
        ("prompt.accuracy_quantiles=4", "prompt.accuracy_quantiles: .* that were asked"),
    ],
)
def test_grpo_needs_answers_that_compare(llm: TransformersLLM, setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        learner(llm, "grpo", *setting.split())
    assert re.search(message, caught.value.line())


def test_what_is_learned_and_recorded(llm: TransformersLLM, tmp_path: Path) -> None:
    """The rate of the options is used, an adapter is taken over, single answers are refused."""
    more = [f"learning.target_modules={TINY}", "learning.learning_rate=1", "learning.dropout=0.5"]
    made = learner(llm, "dpo", "learning.options.learning_rate=0.01", "learning.epochs=2", *more)
    assert made.facts.startswith("dpo, learning_rate 0.01, beta 0.1, margin 0.01, rivals 1; LoRA")
    pair = TrainingPair(PROMPT, "Conv2d(1, 2, 3)", "attempt 1", rival="Linear(4)")
    steps: list[Any] = []
    adapter = made.learn([pair], "a", tmp_path, None, 1, lambda *s: steps.append(s), [pair])
    assert steps[0] == (1, 2, pytest.approx(math.log(2), abs=1e-6))
    assert adapter.loss_last < adapter.loss_first and adapter.pairs == adapter.held_out == 1
    used = LearningConfig.model_validate_json(adapter.settings)
    assert (used.learner, used.learning_rate, used.options["rivals"]) == ("dpo", 0.01, 1)
    again = made.learn([pair], "a", tmp_path, None, 1, lambda *_: pytest.fail("trains"), [pair])
    assert again == adapter
    with pytest.raises(LearningFailed, match="without a worse one"):
        made.learn([replace(pair, rival="")], "b", tmp_path, None, 1, lambda *_: None)
    hasty = learner(llm, "dpo", "learning.options.learning_rate=1e30", "learning.epochs=4", *more)
    with pytest.raises(LearningFailed, match="diverged") as caught:
        hasty.learn([pair], "c", tmp_path, None, 1, lambda *_: None)
    assert caught.value.where == "learning.options.learning_rate"
