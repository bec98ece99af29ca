"""Contract suite of LLM backends, and clear errors for wrong backends and scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from generation.llm.test_openai import DONE, Web, event, serving

from nngpt import plugins
from nngpt.config import LLMConfig
from nngpt.errors import ConfigError, ModelError, PluginError
from nngpt.generation.models import chat
from nngpt.protocols import LLM
from nngpt.records import Message, Prompt, Sampling

PROMPT = Prompt(
    template="test",
    template_hash="0",
    mode="features",
    messages=(Message("user", "Write layers."),),
    prefill="nn.Sequential(\n    nn.LazyConv2d(",
    stop=("\n)",),
)
SAMPLING = Sampling(temperature=0.7, max_new_tokens=12)


ANSWERS = ["8, 3),\n)", "16, 5),\n    nn.ReLU(),\n)", "4, 1),\n)after the stop"]


@pytest.fixture(scope="session", params=plugins.names("LLM backend"))
def llm(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_folder: str
) -> Iterator[LLM]:
    file = tmp_path_factory.mktemp("llm") / "answers.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in ANSWERS))

    def answer(path: str, body: dict[str, Any]) -> tuple[int, list[bytes]]:
        return 200, [event(ANSWERS[body["seed"] % 3 - 1]), event("", "stop"), DONE]

    with serving(Web()) as web:
        web.answer = answer
        options = {
            "mutation": {"answers": [PROMPT.prefill + text for text in ANSWERS[:2]]},
            "openai": {"url": web.url, "endpoint": "chat"},
            "scripted": {"script": file},
            "transformers": {},
        }
        config = LLMConfig(model=tiny_folder, device="cpu", batch_size=3)
        mine = options[request.param]
        made: LLM = plugins.create("LLM backend", request.param, config, options=mine)
        yield made
        made.close()


def test_a_backend_implements_the_protocol(llm: LLM) -> None:
    assert isinstance(llm, LLM)
    assert llm.batch_size == 3 and llm.facts


def test_same_seed_same_texts(llm: LLM) -> None:
    first = [c.text for c in llm.generate(PROMPT, 3, 5, SAMPLING)]
    assert [c.text for c in llm.generate(PROMPT, 3, 5, SAMPLING)] == first
    others = [[c.text for c in llm.generate(PROMPT, 3, seed, SAMPLING)] for seed in (6, 7, 8)]
    assert any(texts != first for texts in others)


def test_completions_record_model_adapter_and_seed(llm: LLM) -> None:
    completions = llm.generate(PROMPT, 3, 5, SAMPLING)
    assert [c.index for c in completions] == [0, 1, 2]
    for c in completions:
        assert (c.model, c.adapter, c.seed) == (llm.model, None, 5)
        assert 0 <= c.completion_tokens <= 12 and c.seconds >= 0


def test_text_ends_with_the_stop_string(llm: LLM) -> None:
    for c in llm.generate(PROMPT, 3, 5, SAMPLING):
        assert "\n)" not in c.text or c.text.endswith("\n)")


def test_wrong_scripts_are_refused(tmp_path: Path) -> None:
    def create(**options: Any) -> None:
        plugins.create("LLM backend", "scripted", LLMConfig(), options=options)

    with pytest.raises(ConfigError, match=r"the key .llm\.options\.script. is missing"):
        create()
    for text in ("", "[1]", '{"txt": "a"}', "no json"):
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(ConfigError, match=r"bad\.jsonl"):
            create(script=tmp_path / "bad.jsonl")


def test_a_missing_server_is_one_clear_line() -> None:
    config, options = LLMConfig(model="smollm2-135m"), {"url": "http://127.0.0.1:9/v1"}
    with pytest.raises(ModelError, match=r"127\.0\.0\.1:9.*no server answers"):
        plugins.create("LLM backend", "openai", config, options=options)


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(PluginError, match="Did you mean 'openai'"):
        plugins.load("LLM backend", "opnai")
    with pytest.raises(PluginError):
        plugins.load("LLM backend", "no.such.module")
    with pytest.raises(PluginError, match="no function create"):
        plugins.load("LLM backend", "json.decoder")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\n)b\n)", ("a\n)", True)), ("ab", ("ab", False)), ("", ("", False))],
)
def test_cut_ends_with_the_first_stop_string(text: str, expected: tuple[str, bool]) -> None:
    assert chat.cut(text, ("\n)",)) == expected
