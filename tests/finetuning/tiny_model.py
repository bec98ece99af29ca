"""A model of two layers with random weights, small enough to compare gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from nngpt.finetuning.sft.packing import TokenizedPair

WORDS = 60
_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def tiny_model(dropout: float = 0.0, scale: float | None = None) -> Any:
    """Return a `peft` model, always the same, whose adapter changes the output.

    Args:
        scale: divides the logits, as Granite does; None for a Llama.
    """
    torch.manual_seed(7)
    base: Any
    if scale is None:
        base = LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, **_SHAPE))
    else:
        config = GraniteConfig(vocab_size=WORDS, logits_scaling=scale, **_SHAPE)
        base = GraniteForCausalLM(config)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        lora_dropout=dropout,
        target_modules=["q_proj", "v_proj", "down_proj"],
        init_lora_weights=False,
    )
    return get_peft_model(base, lora)


def examples() -> list[TokenizedPair]:
    """Return seven tokenised pairs with three prompts; one answer is a single token."""
    prompts = [tuple(range(3, 3 + n)) for n in (5, 9, 1)]
    answers = [tuple((7 * i + 3 * j) % WORDS for j in range(n)) for i, n in enumerate(_LENGTHS)]
    return [TokenizedPair(prompts[i % 3], answer) for i, answer in enumerate(answers)]


def compared(rivals: bool) -> list[TokenizedPair]:
    """Return the pairs with rivals, or with advantages."""
    found = examples()
    if rivals:
        return [replace(pair, rival=found[n - 1].answer) for n, pair in enumerate(found)]
    return [replace(pair, advantage=1.5 - n) for n, pair in enumerate(found)]


_LENGTHS = (4, 11, 6, 1, 8, 3, 9)
