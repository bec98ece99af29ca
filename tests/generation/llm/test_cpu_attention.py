"""The faster CPU attention equals the fused one, and is switched off afterwards."""

from __future__ import annotations

import pytest
import torch

from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import cpu_attention
from nngpt.generation.models.loading import LoadedBase
from nngpt.records import Message, Prompt, Sampling

PROMPT = Prompt("test", "0", "full", (Message("user", "Write a short network."),))


def test_the_same_logits_as_the_fused_attention(tiny: LoadedBase) -> None:
    ids = torch.arange(100, 112).reshape(2, 6)
    found = []
    for fast in (False, True):
        with torch.inference_mode():
            past = tiny.model(ids[:, :5], use_cache=True).past_key_values
            if fast:
                with cpu_attention.fast_cpu_attention(tiny.model):
                    assert tiny.model.config._attn_implementation == "nngpt_decoding"
                    found.append(tiny.model(ids[:, 5:], past_key_values=past).logits)
            else:
                found.append(tiny.model(ids[:, 5:], past_key_values=past).logits)
    assert torch.allclose(found[0], found[1], atol=1e-3, rtol=1e-3)
    assert tiny.model.config._attn_implementation == "sdpa"


def test_the_backend_uses_the_faster_attention(
    tiny: LoadedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_token = []
    attend = cpu_attention._attend

    def counted(module: object, query: torch.Tensor, *rest: object, **named: object) -> object:
        one_token.append(query.shape[2] == 1)
        return attend(module, query, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cpu_attention, "_attend", counted)
    cpu_attention._register.cache_clear()
    llm = TransformersLLM(tiny, 2)
    texts = [c.text for c in llm.generate(PROMPT, 2, 1, Sampling(0.0, max_new_tokens=6))]
    cpu_attention._register.cache_clear()
    assert texts[0] == texts[1]
    assert sum(one_token) >= 5 * tiny.model.config.num_hidden_layers
