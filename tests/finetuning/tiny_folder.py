"""A model folder with random weights and a real tokenizer, which loads in a second."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from nngpt.generation.models.loading import load_tokenizer
from nngpt.records import Message, Prompt, TrainingPair

TINY = ["q_proj", "v_proj", "down_proj"]


def write_tiny_model(folder: Path) -> str:
    """Make the folder, and return it as a value of `llm.model`."""
    tokenizer = load_tokenizer("smollm2-135m")
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def pairs(count: int = 6) -> list[TrainingPair]:
    """Return training pairs of two modes with different answers."""
    return [
        TrainingPair(
            Prompt("t", "0", mode, (Message("user", f"Write {mode} code."),), prefill="nn."),
            f"Conv2d({n}, {n + 1}, {n + 2})\n" * (1 + n % 3),
            f"pair {n}",
        )
        for n in range(count)
        for mode in ["features" if n % 2 else "full"]
    ]
