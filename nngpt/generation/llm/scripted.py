"""LLM backend `scripted`: completions from a file, for tests and for replaying recordings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from nngpt import files
from nngpt.config import LLMConfig
from nngpt.errors import ConfigError
from nngpt.generation.models import chat, constrained
from nngpt.plugins import PluginOptions
from nngpt.records import Adapter, Completion, Prompt, Sampling


class Options(PluginOptions):
    """The completions: `script` is a JSONL file with `{"text": …}` in each line."""

    script: Path


def create(config: LLMConfig, *, options: Options) -> ScriptedLLM:
    """Return the backend `scripted`, its script read. Raises: ConfigError."""
    return ScriptedLLM(_read(options.script), config.batch_size)


class ScriptedLLM:
    """Implements `nngpt.protocols.LLM` by sampling texts without replacement.

    A batch no larger than the script holds each text at most once. The sample depends on the seed
    alone, so that a resumed run gets the same texts.
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
        """Sample `count` texts of the script."""
        if sampling.constrain:
            constrained.check(self, prompt.mode)
        generator = random.Random(seed)
        rounds = -(-count // len(self._texts))
        texts = [t for _ in range(rounds) for t in generator.sample(self._texts, len(self._texts))]
        return [self._completion(t, prompt, seed, i) for i, t in enumerate(texts[:count])]

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Record the adapter's name in later completions; the texts stay the same."""
        self.adapter = adapter

    def stop(self) -> None:
        """Do nothing: `generate` returns at once."""

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

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
    # Not splitlines(): JSON strings may hold U+2028.
    lines = files.read_text(path, error=ConfigError).split("\n")
    try:
        texts = [files.parse_json(line)["text"] for line in lines if line.strip()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a text is not a string")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot be read as JSONL with a text in each line ({error})", where=str(path)
        ) from None
    if not texts:
        raise ConfigError("holds no completions", where=str(path))
    return texts
