"""Decoding by plain products gives what the fused attention gives, and leaves no trace."""

from __future__ import annotations

import pytest
import torch

from nngpt.config import LLMConfig
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import decoding
from nngpt.generation.models.loading import LoadedBase, load_base
from nngpt.records import Message, Prompt, Sampling

PROMPT = Prompt("test", "0", "full", (Message("user", "Write a short network."),))


@pytest.fixture(scope="module")
def base() -> LoadedBase:
    return load_base(LLMConfig(device="cpu", dtype="float32"))


def test_the_same_logits_as_the_fused_attention(base: LoadedBase) -> None:
    ids = torch.arange(100, 112).reshape(2, 6)
    found = []
    for quick in (False, True):
        with torch.inference_mode():
            past = base.model(ids[:, :5], use_cache=True).past_key_values
            if quick:
                with decoding.quick_decoding(base.model):
                    assert base.model.config._attn_implementation == "nngpt_decoding"
                    found.append(base.model(ids[:, 5:], past_key_values=past).logits)
            else:
                found.append(base.model(ids[:, 5:], past_key_values=past).logits)
    assert torch.allclose(found[0], found[1], atol=1e-3, rtol=1e-3)
    assert base.model.config._attn_implementation == "sdpa"


def test_it_is_what_writes(base: LoadedBase, monkeypatch: pytest.MonkeyPatch) -> None:
    one_token = []
    attend = decoding._attend

    def counted(module: object, query: torch.Tensor, *rest: object, **named: object) -> object:
        one_token.append(query.shape[2] == 1)
        return attend(module, query, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(decoding, "_attend", counted)
    decoding._register.cache_clear()
    llm = TransformersLLM(base, 2)
    texts = [c.text for c in llm.generate(PROMPT, 2, 1, Sampling(0.0, max_new_tokens=6))]
    decoding._register.cache_clear()
    assert texts[0] == texts[1]
    assert sum(one_token) >= 5 * base.model.config.num_hidden_layers
