"""Constrained settings: the schema, the real model, servers, and refusals."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from generation.llm.test_openai import DONE, Web, event, serving

from nngpt import config, plugins
from nngpt.config import EvaluationConfig, LLMConfig
from nngpt.cycle.parts import assemble
from nngpt.errors import ConfigError, ModelError
from nngpt.generation import contract
from nngpt.generation.contract.answers import (
    Hyperparameters,
    Settings,
    fits_schema,
    settings_after,
    settings_schema,
)
from nngpt.generation.llm.scripted import ScriptedLLM
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import constrained
from nngpt.generation.models.loading import LoadedBase
from nngpt.generation.prompts import template as prompts
from nngpt.protocols import WritesJson
from nngpt.records import Candidate, Completion, Message, Sampling, Task

NET = """\
import torch.nn as nn


def supported_hyperparameters():
    return {"lr", "momentum", "dropout"}


class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device): ...

    def forward(self, x): ...

    def train_setup(self, prm): ...

    def learn(self, train_data): ..."""
CODE = f"```python\n{NET}\n```"
TASK = Task("mnist", (1, 1, 28, 28), (10,), threshold=0.4)
TEMPLATE = prompts.load("full")
DEFAULTS = contract.Defaults.of(EvaluationConfig())
PROMPT = replace(
    TEMPLATE.render(TASK, DEFAULTS.hyperparameters), messages=(Message("user", "Write a network."),)
)
WILD = Sampling(temperature=1.5, top_k=0, top_p=1.0, max_new_tokens=400)


def written(text: str, index: int = 0) -> Completion:
    return Completion(text, "smollm2-135m", None, 1, index, 9, 90, 1.0)


# ---------------------------------------------------------------- the schema


def test_the_schema_allows_supported_names_within_lemurs_ranges() -> None:
    schema = settings_schema(frozenset({"lr", "dropout", "width", "epoch", "batch", "transform"}))
    values = schema["properties"]["hyperparameters"]
    assert values["required"] == ["dropout", "lr", "width"]
    assert set(values["properties"]) == {"lr", "dropout", "width", "batch"}
    assert values["properties"]["lr"] == {"type": "number", "minimum": 1e-5, "maximum": 1}
    assert values["properties"]["batch"] == {"type": "integer", "minimum": 1, "maximum": 4096}
    assert "norm-flip" in schema["properties"]["transform"]["enum"]
    whole = {"hyperparameters": {"lr": 0.1, "dropout": 0.5, "width": 3}, "transform": "norm"}
    assert fits_schema(json.dumps(whole), schema)
    for key, value in (("lr", 2), ("dropout", "x"), ("momentum", 0.9), ("batch", 1.5)):
        wrong = {**whole, "hyperparameters": {**whole["hyperparameters"], key: value}}  # type: ignore[dict-item]
        assert not fits_schema(json.dumps(wrong), schema)
    assert not fits_schema(json.dumps({**whole, "transform": "norm-flop"}), schema)
    assert not fits_schema('{"hyperparameters": {"lr": 0.1, "dropout": 0.5}}', schema)
    assert not fits_schema("{", schema)


def test_settings_begin_after_the_code_block() -> None:
    after = '\nNow:\n```json\n{"hyperparameters": {"lr": 7}}\n```'
    for before in ("", "Here:\n", "<think>```python\nx\n```</think>\n", "```python\nx = 1\n```\n"):
        found = settings_after(before + CODE + after)
        assert found is not None
        assert found[0] == before + CODE
        assert found[1]["properties"]["hyperparameters"]["required"] == [
            "dropout",
            "lr",
            "momentum",
        ]
    for text in (
        "",
        "no code",
        CODE[:-3],
        "```python\nx = (\n```",
        CODE.replace("def supp", "def s"),
    ):
        assert settings_after(text) is None
    assert settings_after(CODE.replace('"lr"', '"l r"')) is None


# ---------------------------------------------------------------- the real model


@pytest.fixture(scope="module")
def llm(tiny: LoadedBase) -> TransformersLLM:
    """Return a model that knows nothing of JSON, with the embedded model's tokenizer."""
    pytest.importorskip("xgrammar")
    return TransformersLLM(tiny, 4)


NAMES = [
    {"lr", "momentum"},
    {"lr", "momentum", "dropout", "weight_decay", "batch", "epoch"},
    set(),
]


@pytest.mark.parametrize("supported", NAMES, ids=lambda names: "+".join(sorted(names)) or "none")
def test_all_constrained_settings_validate(llm: TransformersLLM, supported: set[str]) -> None:
    """The temperature is so high that this model would not write JSON by itself."""
    schema = settings_schema(frozenset(supported))
    prompt = replace(PROMPT, prefill="```json\n")
    blocks = llm.generate_json(prompt, schema, 3, 3, replace(WILD, max_new_tokens=200))
    assert len({block.text for block in blocks}) > 1
    for block in blocks:
        assert block.finished and fits_schema(block.text, schema), block.text
        settings = Settings.model_validate(json.loads(block.text))
        assert supported - {"batch", "epoch"} <= set(settings.hyperparameters.values())


def test_settings_follow_the_generated_code(llm: TransformersLLM) -> None:
    wrong = '\n```json\n{"hyperparameters": {"depth": 3}}\n```\nEnjoy!'
    free = [written(CODE + wrong), written("Sorry.", 1), written(CODE, 2)]
    wild = replace(WILD, constrain=True)
    done = constrained.generate(llm, PROMPT, len(free), 5, wild, lambda: free)
    assert done[1] == free[1]
    for before, after in ((free[0], done[0]), (free[2], done[2])):
        assert after.text.startswith(f"{CODE}\n\n```json\n") and after.text.endswith("}\n```")
        candidate = contract.read(after.text, PROMPT, TASK, TEMPLATE, DEFAULTS)
        assert isinstance(candidate, Candidate), candidate
        assert candidate.code == NET + "\n"
        assert Hyperparameters.model_validate(dict(candidate.hyperparameters))
        assert after.completion_tokens > before.completion_tokens and after.finished
    assert done[0].text != done[2].text, "each with a seed of its own"


def test_generate_constrains_settings_if_configured(llm: TransformersLLM) -> None:
    """The code is the prefill, because this model would not write it."""
    prompt = replace(PROMPT, prefill=f"{CODE}\n")
    free = llm.generate(prompt, 1, 5, replace(WILD, max_new_tokens=3))
    done = llm.generate(prompt, 1, 5, replace(WILD, max_new_tokens=3, constrain=True))
    assert all("```json" not in completion.text for completion in free)
    for completion in done:
        read = contract.read(completion.text, prompt, TASK, TEMPLATE, DEFAULTS)
        assert isinstance(read, Candidate), completion.text


def test_a_whole_answer_can_be_json(llm: TransformersLLM) -> None:
    schema = {
        "type": "object",
        "properties": {"lr": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["lr"],
        "additionalProperties": False,
    }
    (one,) = llm.generate_json(replace(PROMPT, prefill=""), schema, 1, 1, WILD)
    assert 0 <= json.loads(one.text)["lr"] <= 1
    assert llm.generate_json(PROMPT, schema, 1, 1, WILD)[0].text == one.text


def test_a_missing_library_is_one_line(
    llm: TransformersLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    with pytest.raises(ModelError, match=r"needs xgrammar.*pip install xgrammar"):
        constrained.check(llm, "full")


# ---------------------------------------------------------------- servers


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as started:
        yield started


def answered(web: Web, block: str, key: str = "structured_outputs") -> tuple[Completion, Any]:
    """Return the answer for a server that writes this block, and the server's request."""

    def answer(path: str, body: dict[str, Any]) -> tuple[int, list[bytes]]:
        constrained_now = key in body
        return 200, [event(block if constrained_now else f"{CODE}\nBye."), event("", "stop"), DONE]

    web.answer = answer
    options = {"url": web.url, "endpoint": "chat", "structured": key, "timeout_s": 20}
    llm = plugins.create("LLM backend", "openai", LLMConfig(), options=options)
    assert isinstance(llm, WritesJson)
    constrained.check(llm, "full")
    try:
        (done,) = llm.generate(PROMPT, 1, 7, replace(WILD, constrain=True))
    finally:
        llm.close()
    return done, web.asked[-1][1]


GOOD = '{"hyperparameters": {"dropout": 0.1, "lr": 0.01, "momentum": 0.9}}'


def test_a_second_request_begins_with_the_code(web: Web) -> None:
    done, body = answered(web, GOOD)
    assert done.text == f"{CODE}\n\n```json\n{GOOD}\n```"
    assert len(web.asked) == 2 and "structured_outputs" not in web.asked[0][1]
    schema = body["structured_outputs"]["json"]
    assert schema["properties"]["hyperparameters"]["required"] == ["dropout", "lr", "momentum"]
    assert body["messages"][-1]["content"] == f"{CODE}\n\n```json\n"
    assert body["max_tokens"] < 200


@pytest.mark.parametrize("key", ["response_format", "json_schema", "guided_json"])
def test_the_request_key_depends_on_the_server(web: Web, key: str) -> None:
    _, body = answered(web, GOOD, key)
    schema = body[key]["json_schema"]["schema"] if key == "response_format" else body[key]
    assert schema["properties"]["hyperparameters"]["additionalProperties"] is False


@pytest.mark.parametrize("block", ["Sure!", '{"hyperparameters": {"lr": 3}}', "{}"])
def test_a_server_that_ignores_the_constraint_is_refused(web: Web, block: str) -> None:
    with pytest.raises(ModelError, match=r"do not follow the schema.*llm\.options\.structured"):
        answered(web, block)


# ---------------------------------------------------------------- refusals


def test_modes_and_backends_without_settings_are_refused() -> None:
    scripted = ScriptedLLM([CODE], 1)
    with pytest.raises(ConfigError, match=r"sampling\.constrain: the backend of 'scripted' cannot"):
        constrained.check(scripted, "full")
    with pytest.raises(ConfigError, match="cannot write under a constraint"):
        scripted.generate(PROMPT, 1, 1, replace(WILD, constrain=True))
    for mode in ("features", "body", "delta"):
        with pytest.raises(ConfigError, match=f"answers of {mode} mode have no settings"):
            constrained.check(scripted, mode)


def test_a_run_is_refused_before_it_begins(tmp_path: Path) -> None:
    script = tmp_path / "answers.jsonl"
    script.write_text(json.dumps({"text": CODE}) + "\n")
    overrides = ["llm.backend=scripted", f"llm.options.script={script}", "sampling.constrain=true"]
    settings = config.load("smoke-mnist", [*overrides, "prompt.template=full"])
    with (
        pytest.raises(ConfigError, match="cannot write under a constraint"),
        assemble(settings, lambda text: None),
    ):
        raise AssertionError("it was assembled")
