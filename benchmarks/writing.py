"""Writing answers: ours against `generate` of transformers, which reads every prompt of a batch.

.venv/bin/python benchmarks/writing.py [samples] [new_tokens] [words_of_the_prompt]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
from transformers import GenerationConfig

from nngpt.config import LLMConfig
from nngpt.generation.llm.transformers import TransformersLLM
from nngpt.generation.models import chat
from nngpt.generation.models.adapters import shipped
from nngpt.generation.models.loading import load_base
from nngpt.records import Message, Prompt, Sampling

STOP = ("\n```",)


def plain(llm: TransformersLLM, prompt: Prompt, count: int, sampling: Sampling) -> int:
    """Tokens that transformers' own `generate` writes, up to the end of each answer."""
    tokenizer, model = llm.base.tokenizer, llm._writer
    ids = torch.tensor([chat.encode(tokenizer, chat.render(tokenizer, prompt))] * count)
    settings = GenerationConfig(
        do_sample=True,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        stop_strings=list(prompt.stop),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.inference_mode():
        rows = model.generate(
            ids.to(model.device),
            attention_mask=torch.ones_like(ids).to(model.device),
            generation_config=settings,
            tokenizer=tokenizer,
        )
    return int((rows[:, ids.shape[1] :] != tokenizer.pad_token_id).sum())


def ours(llm: TransformersLLM, prompt: Prompt, count: int, sampling: Sampling) -> int:
    """Tokens that we write with the same settings."""
    return sum(c.completion_tokens for c in llm.generate(prompt, count, 1, sampling))


def speed(write: Callable[[], int]) -> float:
    """Tokens per second, the better of two rounds."""
    rates = []
    for _ in range(2):
        torch.manual_seed(1)
        started = time.perf_counter()
        rates.append(write() / (time.perf_counter() - started))
    return max(rates)


def main(count: int = 25, tokens: int = 300, words: int = 30) -> None:
    """Print both speeds and their ratio, for the base and for the adapter that comes with nngpt."""
    base = load_base(LLMConfig())
    llm = TransformersLLM(base, count)
    question = "Write a new image classifier in PyTorch for mnist." + " Be brief." * (words // 2)
    prompt = Prompt("", "", "body", (Message("user", question),), "```python\n", STOP)
    sampling = Sampling(temperature=0.8, top_k=50, top_p=0.95, max_new_tokens=tokens)
    limits = f"{count} samples of at most {tokens} tokens, {torch.get_num_threads()} threads"
    print(f"{base.facts}; {limits}")
    for adapter in (None, shipped()[0]):
        llm.use_adapter(adapter)
        ours(llm, prompt, 2, Sampling(max_new_tokens=4))
        mine = speed(lambda: ours(llm, prompt, count, sampling))
        theirs = speed(lambda: plain(llm, prompt, count, sampling))
        name = adapter.name if adapter else "bare base"
        print(f"{name}: {mine:.1f} tokens/s, generate {theirs:.1f} tokens/s: {mine / theirs:.2f} ×")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
