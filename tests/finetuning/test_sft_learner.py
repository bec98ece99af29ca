"""Settings of the learner: layers, replay and dtypes; training in bfloat16 is as good."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_folder import TINY, pairs

from nngpt.config import Config, LearningConfig, LLMConfig
from nngpt.errors import LearningFailed, ModelError
from nngpt.finetuning.learners.sft import LoraLearner, SFTJob
from nngpt.finetuning.sft.curve import CurvePoint, read_curve
from nngpt.finetuning.sft.optimizer import make_schedule
from nngpt.finetuning.sft.replay import pair_hash, read_learned, with_replay
from nngpt.generation.llm.transformers import TransformersLLM, create
from nngpt.generation.models.adapters import read_adapter
from nngpt.records import Adapter, Sampling, TrainingPair

SETTINGS: dict[str, Any] = {
    "rank": 4,
    "dropout": 0.0,
    "target_modules": TINY,
    "epochs": 2,
    "batch_size": 3,
    "accumulation": 1,
    "learning_rate": 2e-2,
    "warmup_steps": 0,
}


def learn(
    llm: TransformersLLM,
    folder: Path,
    chosen: Sequence[TrainingPair],
    name: str = "made",
    parent: Adapter | None = None,
    dev: Sequence[TrainingPair] = (),
    **settings: Any,
) -> tuple[Adapter, list[CurvePoint], list[str]]:
    points: list[CurvePoint] = []
    logged: list[str] = []
    config = Config(
        llm=LLMConfig(device="cpu"), learning=LearningConfig(**{**SETTINGS, **settings})
    )
    learner = LoraLearner(config, llm)
    adapter = learner.tune(
        SFTJob(chosen, name, folder, parent, 5, dev), points.append, logged.append
    )
    return adapter, points, logged


def test_the_curve_lies_beside_the_weights(llm: TransformersLLM, tmp_path: Path) -> None:
    adapter, points, _ = learn(llm, tmp_path, pairs(), dev=pairs(8)[6:])
    found = read_curve(Path(adapter.path))
    assert [CurvePoint(**point) for point in found["curve"]] == points
    assert [p.step for p in points if p.held_out is not None] == [0, 2, 4], "after each epoch"
    assert points[4].held_out < points[0].held_out
    assert (found["pairs"], found["held_out_pairs"], adapter.pairs) == (6, 2, 6)
    assert adapter.tokens == points[-1].tokens < points[-1].read
    assert [f.name for f in tmp_path.iterdir()] == ["made"], "no checkpoint is left"


@pytest.mark.parametrize("name", ["cosine", "linear", "constant"])
def test_no_step_has_a_learning_rate_of_zero(name: str) -> None:
    for steps, warmup in product((1, 2, 9, 10, 45, 200), (0, 1, 20, 1000)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = make_schedule(optimizer, name, warmup, steps)
        rates = []
        for _ in range(steps):
            rates += schedule.get_last_lr()
            optimizer.step()
            schedule.step()
        assert min(rates) > 0 and rates[min(warmup, steps // 10)] == max(rates) == 1


def test_a_single_pair_changes_every_weight(llm: TransformersLLM, tmp_path: Path) -> None:
    few: dict[str, Any] = {"epochs": 1, "warmup_steps": 20, "learning_rate": 1e-4}
    first, points, _ = learn(llm, tmp_path, pairs(1), "first", **few)
    second, _, _ = learn(llm, tmp_path, pairs(1), "second", first, start="last", **few)
    assert points[-1].step == 1
    before, after = (load_file(f"{a.path}/adapter_model.safetensors") for a in (first, second))
    assert all(w.any() for name, w in before.items() if "lora_B" in name)
    assert not any(torch.equal(w, after[name]) for name, w in before.items())
    with pytest.raises(LearningFailed, match="nothing was learned: no weight of the adapter"):
        learn(llm, tmp_path, pairs(1), "third", second, **{**few, "learning_rate": 1e-30})
    assert not (tmp_path / "third").exists()


def test_settings_that_a_parent_overrides_are_said(llm: TransformersLLM, tmp_path: Path) -> None:
    first, _, _ = learn(llm, tmp_path, pairs(2), "first", epochs=1, layers=2)
    given: dict[str, Any] = {"epochs": 1, "rank": 8, "layers": 2, "dropout": 0.5}
    second, _, logged = learn(llm, tmp_path, pairs(3), "second", first, **given)
    assert logged == [
        "Without effect, since the adapter 'first' has its own: "
        "learning.rank=8 (its: 4), learning.dropout=0.5 (its: 0.0)"
    ]
    used = LearningConfig.model_validate_json(second.settings)
    assert (used.rank, used.dropout, used.layers) == (4, 0.0, 2)
    third, _, logged = learn(llm, tmp_path, pairs(3), "third", first, epochs=1, layers=3)
    assert logged[0].endswith("learning.layers=3 (its: (1, 2))")
    assert LearningConfig.model_validate_json(third.settings).layers_to_transform == (1, 2)


def test_held_out_pairs_that_the_parent_learned_do_not_count(
    llm: TransformersLLM, tmp_path: Path
) -> None:
    first, _, _ = learn(llm, tmp_path, pairs(3), "first", epochs=1)
    learner = LoraLearner(
        Config(llm=LLMConfig(device="cpu"), learning=LearningConfig(**SETTINGS, start="last")), llm
    )
    made = learner.learn(
        pairs(2), "second", tmp_path, first, 5, lambda *_: None, held_out=pairs(4)[2:]
    )
    assert made.held_out == 1 and made.held_out_first and made.held_out_last
    assert read_adapter(Path(made.path)) == made


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"layers": 1}, [2]),
        ({"layers_to_transform": "0-1"}, [0, 1]),
        ({"layers_to_transform": "2, 0-0"}, [0, 2]),
        ({"layers_to_transform": [1]}, [1]),
        ({"layers_to_transform": 2}, [2]),
    ],
)
def test_only_these_layers_get_an_adapter(
    llm: TransformersLLM, tmp_path: Path, given: dict[str, Any], chosen: list[int]
) -> None:
    adapter, _, _ = learn(llm, tmp_path, pairs(3), epochs=1, **given)
    names = load_file(Path(adapter.path) / "adapter_model.safetensors")
    assert {int(name.split(".layers.")[1].split(".")[0]) for name in names} == set(chosen)


def test_layers_that_are_not_there_are_refused(llm: TransformersLLM, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no layer 3. It has 3, from 0 to 2"):
        learn(llm, tmp_path, pairs(), layers_to_transform="1-3")
    with pytest.raises(ModelError, match="has no 4 layers"):
        learn(llm, tmp_path, pairs(), layers=4)
    for wrong, said in (
        ({"layers": 1, "layers_to_transform": [0]}, "exclude each other"),
        ({"layers_to_transform": "first"}, "such as 0-23"),
        ({"layers_to_transform": "3-1"}, "at least 1"),
        ({"replay": 0.5}, "needs start: last"),
    ):
        with pytest.raises(ValidationError, match=said):
            LearningConfig(**wrong)  # type: ignore[arg-type]


def test_replay_takes_all_that_is_new_and_some_of_the_rest() -> None:
    given = pairs(10)
    learned = {pair_hash(pair) for pair in given[:8]}
    for replay, count in ((0.0, 2), (0.25, 4), (3, 5), (1.0, 10), (99, 10)):
        chosen = with_replay(given, learned, replay, seed=1)
        assert chosen == with_replay(given, learned, replay, seed=1)
        assert len(chosen) == count and chosen[-2:] == given[-2:]
        assert chosen == [pair for pair in given if pair in chosen], "their order stays"
    draws = {str(with_replay(given, learned, 3, seed)) for seed in range(8)}
    assert len(draws) > 1


def test_the_last_adapter_is_replayed_to(llm: TransformersLLM, tmp_path: Path) -> None:
    first, _, _ = learn(llm, tmp_path, pairs(6), "first")
    more: dict[str, Any] = {"start": "last", "replay": 2, "parent": first}
    second, _, logged = learn(llm, tmp_path, pairs(9), "second", **more)
    assert second.pairs == 5 and logged == ["Pairs: 3 new, 2 replayed."]
    assert read_learned(Path(second.path)) == {pair_hash(pair) for pair in pairs(9)}
    more = {"start": "last", "replay": 0.0, "parent": second}
    with pytest.raises(LearningFailed, match="nothing new"):
        learn(llm, tmp_path, pairs(4), "third", **more)


def test_the_file_can_be_bfloat16(llm: TransformersLLM, tmp_path: Path) -> None:
    whole, points, _ = learn(llm, tmp_path, pairs(), "whole")
    half, same, _ = learn(llm, tmp_path, pairs(), "half", save_dtype="bfloat16")
    assert [p.loss for p in same] == [p.loss for p in points]
    before, after = (load_file(Path(a.path) / "adapter_model.safetensors") for a in (whole, half))
    for name, weight in before.items():
        assert torch.equal(weight.bfloat16(), after[name])
    llm.use_adapter(half)
    loaded = [p for n, p in llm.base.model.named_parameters() if "lora_" in n]
    llm.use_adapter(None)
    assert len(loaded) == len(before) and {p.dtype for p in loaded} == {torch.float32}


def test_a_bfloat16_base_learns_as_a_float32_one(
    llm: TransformersLLM, model: str, tmp_path: Path
) -> None:
    other = create(LLMConfig(model=model, device="cpu", dtype="bfloat16"))
    kinds: set[torch.dtype] = set()
    losses = []
    for writer, name in ((llm, "float32"), (other, "bfloat16")):
        adapter, points, _ = learn(writer, tmp_path, pairs(), name, epochs=4)
        kinds |= {w.dtype for w in load_file(f"{adapter.path}/adapter_model.safetensors").values()}
        losses.append([p.loss for p in points if p.loss is not None])
    assert kinds == {torch.float32}, "what is learned stays float32"
    assert losses[0][-1] < 0.9 * losses[0][0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_finished_adapter_of_an_older_nngpt_is_taken_over(
    llm: TransformersLLM, tmp_path: Path
) -> None:
    """Its settings lack later keys, or differ in keys that do not affect training."""
    adapter, _, _ = learn(llm, tmp_path, pairs())
    file = Path(adapter.path) / "nngpt.json"
    lineage = json.loads(file.read_text())
    settings = json.loads(lineage["settings"])
    for later in ("packing", "tokens_per_batch", "replay", "layers_to_transform", "save_dtype"):
        del settings[later]
    file.write_text(json.dumps(lineage | {"settings": json.dumps(settings)}))
    again, points, logged = learn(llm, tmp_path, pairs(), checkpoint_s=7)
    assert points == [] and again.corpus_hash == adapter.corpus_hash
    assert logged == [f"{tmp_path / 'made'} exists already."]
    other, points, logged = learn(llm, tmp_path, pairs(), learning_rate=1e-3)
    assert points and "kept under another name" in logged[0]
    assert read_learned(Path(other.path)) and len(list(tmp_path.glob("made.old-*"))) == 1


def test_the_base_writes_as_before(llm: TransformersLLM, tmp_path: Path) -> None:
    greedy = Sampling(temperature=0.0, max_new_tokens=12)
    llm.use_adapter(None)
    before = llm.generate(pairs()[0].prompt, 1, 0, greedy)[0].text
    learn(llm, tmp_path, pairs(), gradient_checkpointing=True)
    assert llm.generate(pairs()[0].prompt, 1, 0, greedy)[0].text == before
    parts = llm.base.model.modules()
    assert not any(getattr(part, "gradient_checkpointing", False) for part in parts)
