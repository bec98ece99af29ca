"""Sampling with the prompt read once per batch, against reading it for every sample.

.venv/bin/python benchmarks/shared_prompt.py [samples] [new_tokens]
"""

from __future__ import annotations

import sys
import time

from nngpt import config, prompts
from nngpt.llm.loading import load_base
from nngpt.llm.transformers import TransformersLLM
from nngpt.records import Prompt, Sampling, Task


class EveryRowReads(TransformersLLM):
    """The straightforward way: each sample of a batch reads the whole prompt."""

    def _read_once(self, shared: object, count: int) -> None:
        return None


def tokens_per_second(llm: TransformersLLM, prompt: Prompt, count: int, tokens: int) -> float:
    """The better of two rounds, after one to warm up; counts what was really written."""
    sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=tokens)
    llm.generate(prompt, 1, 0, Sampling(max_new_tokens=2))
    rates = []
    for seed in (1, 2):
        started = time.perf_counter()
        written = sum(c.completion_tokens for c in llm.generate(prompt, count, seed, sampling))
        rates.append(written / (time.perf_counter() - started))
    return max(rates)


def main(count: int = 12, tokens: int = 100) -> None:
    """Print both speeds and their ratio."""
    settings = config.load("smoke-mnist")
    base = load_base(settings.llm)
    task = Task("mnist", (1, 1, 28, 28), (10,), 0.5)
    prompt = prompts.load("features").render(task, settings.evaluation.hyperparameters)
    once = tokens_per_second(TransformersLLM(base, count), prompt, count, tokens)
    each = tokens_per_second(EveryRowReads(base, count), prompt, count, tokens)
    print(f"{base.facts}; {count} samples of at most {tokens} new tokens")
    print(f"read once {once:.1f} tokens/s, read for each {each:.1f} tokens/s: {once / each:.2f} ×")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
