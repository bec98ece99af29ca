"""Fine-tuning: the embedded model learns, adapters are recorded, the base stays unchanged."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from nngpt import plugins
from nngpt.config import Config, EvaluationConfig, LearningConfig, LLMConfig
from nngpt.errors import ConfigError, LearningFailed, ModelError
from nngpt.finetuning.sft import optimizer
from nngpt.generation import contract
from nngpt.generation.llm.transformers import TransformersLLM, create
from nngpt.generation.models import chat, loading
from nngpt.generation.models.adapters import read_adapter
from nngpt.generation.pairs import corpus_hash, corpus_pairs
from nngpt.generation.prompts import template as prompts
from nngpt.protocols import Learner
from nngpt.records import Adapter, Candidate, Message, Prompt, Sampling, Task, TrainingPair

PROMPT = Prompt(
    template="test",
    template_hash="0",
    mode="features",
    messages=(Message("user", "Write a network."),),
    prefill="nn.Sequential(\n    nn.LazyConv2d(",
    stop=("\n)",),
)
LAYERS = "24, 5),\n    nn.SiLU(),\n)"
PAIRS = [TrainingPair(PROMPT, LAYERS, "a"), TrainingPair(PROMPT, LAYERS.replace("24", "12"), "b")]
SETTINGS = LearningConfig(
    rank=8, epochs=8, learning_rate=5e-3, warmup_steps=1, accumulation=1, batch_size=2, layers=3
)
GREEDY = Sampling(temperature=0.0, max_new_tokens=20)


def learner_with(settings: LearningConfig, llm: TransformersLLM) -> Learner:
    config = Config(llm=LLMConfig(device="cpu"), learning=settings)
    learner: Learner = plugins.create("learner", "sft", config, llm)
    return learner


@pytest.fixture(scope="module")
def adapter(llm: TransformersLLM, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    learner = learner_with(SETTINGS, llm)
    folder, steps = tmp_path_factory.mktemp("adapters"), list[int]()
    made: Adapter = learner.learn(
        PAIRS, "test-1-c1", folder, None, 3, lambda *s: steps.append(s[0])
    )
    assert steps == list(range(1, 9))
    return made


def test_the_embedded_model_learns_and_stays_as_it_was(
    embedded_llm: TransformersLLM, tmp_path: Path
) -> None:
    llm = embedded_llm
    learner = learner_with(SETTINGS, llm)
    before = llm.generate(PROMPT, 1, 0, GREEDY)[0]
    adapter = learner.learn(PAIRS, "real", tmp_path, None, 3, lambda *_: None)
    weights = load_file(Path(adapter.path) / "adapter_model.safetensors")
    assert all(weight.any() for name, weight in weights.items() if "lora_B" in name)
    llm.use_adapter(adapter)
    tuned = llm.generate(PROMPT, 1, 0, GREEDY)[0]
    llm.use_adapter(None)
    after = llm.generate(PROMPT, 1, 0, GREEDY)[0]
    assert adapter.loss_last < 0.5 * adapter.loss_first
    assert tuned.text in (PAIRS[0].completion, PAIRS[1].completion)
    assert tuned.adapter == "real"
    assert (before.text, before.adapter) == (after.text, after.adapter)
    assert before.text != tuned.text


def test_lineage_lies_beside_the_weights(adapter: Adapter, model: str) -> None:
    folder = Path(adapter.path)
    assert read_adapter(folder) == adapter
    assert {f.name for f in folder.iterdir()} >= {"adapter_model.safetensors", "nngpt.json"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == model
    assert adapter.corpus_hash == corpus_hash(PAIRS) != corpus_hash(PAIRS[:1])
    assert (adapter.parent, adapter.pairs) == (None, 2)
    assert not list(folder.parent.glob(".*")), "no draft is left"


def test_learning_goes_on_from_a_parent(
    llm: TransformersLLM, adapter: Adapter, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2})
    learner = learner_with(settings, llm)
    child = learner.learn(PAIRS, "test-1-c2", tmp_path, adapter, 4, lambda *_: None)
    assert child.parent == "test-1-c1"
    assert child.loss_first < adapter.loss_first


def test_adapters_that_do_not_fit_are_refused(
    llm: TransformersLLM, adapter: Adapter, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="was made for qwen"):
        llm.use_adapter(replace(adapter, base="qwen2.5-coder-1.5b"))
    with pytest.raises(ModelError, match="missing or damaged"):
        llm.use_adapter(replace(adapter, path="/nowhere"))
    damaged = tmp_path / "damaged"
    shutil.copytree(adapter.path, damaged)
    (damaged / "adapter_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="missing or damaged"):
        llm.use_adapter(replace(adapter, path=str(damaged)))
    assert llm.generate(PROMPT, 1, 0, GREEDY)[0].adapter is None


def test_what_cannot_be_learned_is_an_outcome(llm: TransformersLLM, tmp_path: Path) -> None:
    before = llm.generate(PROMPT, 1, 0, GREEDY)[0].text
    for change, said in (
        ({"max_length": 3}, "none of the 2 training pairs fits"),
        ({"learning_rate": 1e30, "epochs": 4}, "the loss diverged"),
    ):
        learner = learner_with(SETTINGS.model_copy(update=change), llm)
        with pytest.raises(LearningFailed, match=said):
            learner.learn(PAIRS, "failed", tmp_path, None, 1, lambda *_: None)
    assert list(tmp_path.iterdir()) == []
    assert llm.generate(PROMPT, 1, 0, GREEDY)[0].text == before, "the base still writes"


def test_settings_that_cannot_work_are_found_before_the_run(llm: TransformersLLM) -> None:
    with pytest.raises(ModelError, match=r"q_prj.*Did you mean 'q_proj'"):
        learner_with(SETTINGS.model_copy(update={"target_modules": ("q_prj",)}), llm)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantised_base_learns_in_every_layer(bits: Any, tmp_path: Path) -> None:
    """As in the papers: LoRA on a quantised base, with paged 8-bit AdamW, after it has written."""
    llm = create(LLMConfig(device="cpu", quantization=bits))
    assert llm.base.facts == f"smollm2-135m on CPU, {bits.removesuffix('bit')}-bit base"
    settings = {"optimizer": "paged_adamw_8bit", "layers": None, "epochs": 6, "rank": 4}
    learner = learner_with(SETTINGS.model_copy(update=settings), llm)
    before = llm.generate(PROMPT, 1, 0, GREEDY)[0].text
    adapter = learner.learn(PAIRS, "quantised", tmp_path, None, 3, lambda *_: None)
    weights = load_file(Path(adapter.path) / "adapter_model.safetensors")
    assert all(weight.any() for name, weight in weights.items() if "lora_B" in name)
    assert adapter.loss_last < 0.7 * adapter.loss_first
    llm.use_adapter(None)
    assert llm.generate(PROMPT, 1, 0, GREEDY)[0].text == before


def test_a_missing_bitsandbytes_is_named(
    llm: TransformersLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (loading, optimizer):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"paged_adamw_8bit needs bitsandbytes.*extra cuda"):
        learner_with(SETTINGS.model_copy(update={"optimizer": "paged_adamw_8bit"}), llm)
    with pytest.raises(ModelError, match=r"4-bit and 8-bit.*need bitsandbytes.*extra cuda"):
        create(LLMConfig(device="cpu", quantization="4bit"))


def test_a_finished_adapter_is_taken_over(llm: TransformersLLM, adapter: Adapter) -> None:
    """A run killed after saving the adapter and before recording it uses the saved one."""
    learner = learner_with(SETTINGS, llm)
    steps: list[object] = []
    again = learner.learn(
        PAIRS, adapter.name, Path(adapter.path).parent, None, 3, lambda *s: steps.append(s)
    )
    assert again == adapter and steps == []


def test_what_is_learned_is_what_is_asked(llm: TransformersLLM) -> None:
    """One renderer: the prompts of training and writing agree for every template's examples."""
    tokenizer = llm.base.tokenizer
    task = Task("mnist", (1, 1, 28, 28), (10,), 0.5)
    defaults = contract.Defaults.of(EvaluationConfig())
    checked = 0
    for name in prompts.names():
        template = prompts.load(name)
        prompt = template.render(task, defaults.hyperparameters)
        for example in template.examples:
            prompt = replace(prompt, parent=example.parent.strip())
            answer = example.assistant.strip().removeprefix(prompt.prefill)
            candidate = contract.read(answer, prompt, task, template, defaults)
            assert isinstance(candidate, Candidate)
            pair = TrainingPair(prompt, candidate.written, "example")
            learned = chat.encode_answer(tokenizer, pair)
            assert learned[-1] == tokenizer.eos_token_id
            text = tokenizer.decode(learned[:-1])
            assert contract.read(text, prompt, task, template, defaults) == candidate
            checked += 1
    assert checked >= 4


def test_corpus_file(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(json.dumps({"completion": LAYERS, "source": "lemur"}) + "\n")
    assert corpus_pairs(file, PROMPT) == [TrainingPair(PROMPT, LAYERS, "lemur")]
    file.write_text('{"text": 1}\n')
    with pytest.raises(ConfigError, match=r"corpus\.jsonl"):
        corpus_pairs(file, PROMPT)
