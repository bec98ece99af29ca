"""Writes from a script: for tests of the loop's logic and for replaying recorded completions."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from nngpt.config import LLMConfig
from nngpt.errors import ConfigError
from nngpt.generation.models import chat, constrained
from nngpt.records import Adapter, Completion, Prompt, Sampling


def create(config: LLMConfig) -> ScriptedLLM:
    """Read `llm.script`, a JSONL file with `{"text": …}` lines. Raises: ConfigError."""
    if config.script is None:
        raise ConfigError("the scripted backend needs a file", where="llm.script")
    return ScriptedLLM(_read(config.script), config.batch_size)


class ScriptedLLM:
    """Implements `nngpt.protocols.LLM`: the seed draws from the texts, without repetition.

    A batch no larger than the script holds each text at most once; what is drawn depends on
    the seed alone, so a resumed run gets the same texts.
    """

    model = "scripted"
    facts = "scripted completions, no model"

    def __init__(self, texts: Sequence[str], batch_size: int) -> None:
        self._texts = list(texts)
        self.batch_size = batch_size
        self.adapter: Adapter | None = None

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Draw `count` texts; see `nngpt.protocols.LLM`."""
        if sampling.constrain:
            constrained.check(self, prompt.mode)
        draw = random.Random(seed)
        rounds = -(-count // len(self._texts))
        texts = [t for _ in range(rounds) for t in draw.sample(self._texts, len(self._texts))]
        return [self._completion(t, prompt, seed, i) for i, t in enumerate(texts[:count])]

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Remember the adapter; the script stays the same."""
        self.adapter = adapter

    def stop(self) -> None:
        """Nothing takes long."""

    def close(self) -> None:
        """Nothing to free."""

    def _completion(self, text: str, prompt: Prompt, seed: int, index: int) -> Completion:
        text, _ = chat.cut(text, prompt.stop)
        return Completion(
            text=text,
            model=self.model,
            adapter=self.adapter.name if self.adapter else None,
            seed=seed,
            index=index,
            prompt_tokens=0,
            completion_tokens=len(text.split()),
            seconds=0.0,
        )


def _read(path: Path) -> list[str]:
    try:
        # Not splitlines(): JSON strings may hold U+2028.
        lines = path.read_text(encoding="utf-8").split("\n")
        texts = [str(json.loads(line)["text"]) for line in lines if line.strip()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot be read as JSONL with a text in each line ({error})", where=str(path)
        ) from None
    if not texts:
        raise ConfigError("holds no completions", where=str(path))
    return texts
