"""Sampling gives the same rows as transformers' own `generate`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import DynamicCache, GenerationConfig
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models.cpu_attention import fast_cpu_attention
from nngpt.generation.models.loading import LoadedBase
from nngpt.generation.models.sampling import growing_cache, sample_rows, top_tokens
from nngpt.records import Message, Prompt, Sampling

TOKENS = 80
"""More tokens than the cache grows by at once."""


def random_prompts(tiny: LoadedBase, count: int) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.randint(100, tiny.model.config.vocab_size, (count, 7))


def test_greedy_rows_equal_those_of_generate(tiny: LoadedBase) -> None:
    ids = random_prompts(tiny, 3)
    settings = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=[])
    lengths = [5, TOKENS, 30]
    order: dict[int, int] = {}

    def ended(row: list[int]) -> bool:
        return len(row) == lengths[order.setdefault(id(row), len(order))]

    with torch.inference_mode():
        expected = tiny.model.generate(ids, generation_config=settings)[:, 7:].tolist()
        with fast_cpu_attention(tiny.model):
            cache = growing_cache(tiny.model.config)
            tiny.model(ids[:, :-1], past_key_values=cache)
            greedy = Sampling(temperature=0.0, max_new_tokens=TOKENS)
            rows = sample_rows(tiny.model, cache, ids, greedy, ended, lambda: False)
    assert [len(row) for row in rows] == lengths
    assert rows == [row[: len(mine)] for row, mine in zip(expected, rows, strict=True)]


def test_stopping_ends_all_rows(tiny: LoadedBase) -> None:
    ids = random_prompts(tiny, 2)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) == 3

    with torch.inference_mode():
        cache = growing_cache(tiny.model.config)
        tiny.model(ids[:, :-1], past_key_values=cache)
        rows = sample_rows(tiny.model, cache, ids, Sampling(), lambda row: False, stopped)
    assert [len(row) for row in rows] == [3, 3]


def test_an_answer_ends_with_the_first_stop_string(tiny: LoadedBase) -> None:
    llm = TransformersLLM(tiny, 1)
    question = Message("user", "Count from one to ten, in words.")
    asked = Prompt("", "", "body", (question,))
    greedy = Sampling(temperature=0.0, max_new_tokens=12)

    def written(*stop: str) -> tuple[str, int]:
        (answer,) = llm.generate(replace(asked, stop=stop), 1, 0, greedy)
        return answer.text, answer.completion_tokens

    text, tokens = written()
    for stop in (text[5:8], text[9]):
        ended, fewer = written(stop, "é")
        assert ended == text.partition(stop)[0] + stop and fewer < tokens
    assert written("é", "```", "\n\n\n") == (text, tokens)


@pytest.mark.parametrize(
    ("top_k", "top_p", "temperature"), [(50, 0.9, 0.7), (0, 0.5, 1.3), (5, 1.0, 1.0), (3, 1e-6, 1)]
)
def test_the_same_probabilities_as_transformers(
    top_k: int, top_p: float, temperature: float
) -> None:
    torch.manual_seed(1)
    scores = 3 * torch.randn(4, 200)
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(temperature))])
    warpers += [TopKLogitsWarper(top_k)] if top_k else []
    expected = LogitsProcessorList([*warpers, TopPLogitsWarper(top_p)])(None, scores).softmax(-1)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    tokens, shares = top_tokens(scores, sampling)
    found = torch.zeros_like(scores).scatter(1, tokens, shares)
    assert torch.allclose(found / found.sum(-1, keepdim=True), expected, atol=1e-6)


def test_a_growing_cache_equals_a_plain_one(tiny: LoadedBase) -> None:
    ids, caches = random_prompts(tiny, 3), (DynamicCache(), growing_cache(tiny.model.config))
    with torch.inference_mode():
        for cache in caches:
            tiny.model(ids[:1, :3], past_key_values=cache)
            cache.batch_repeat_interleave(3)
            tiny.model(ids[:, 3:5], past_key_values=cache)
            cache.batch_select_indices(torch.tensor([2, 0]))
            tiny.model(ids[[2, 0], 5:], past_key_values=cache)
    for plain, growing in zip(caches[0].layers, caches[1].layers, strict=True):
        assert torch.allclose(plain.keys, growing.keys, atol=1e-4)
        assert torch.allclose(plain.values, growing.values, atol=1e-4)
