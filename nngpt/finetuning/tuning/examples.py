"""Training pairs as token ids, made by the one renderer (`nngpt.generation.models.chat`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nngpt.generation.models import chat
from nngpt.records import TrainingPair


@dataclass(frozen=True)
class Example:
    """A pair as token ids; the answer ends its turn. Only the answer has a loss."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)


def encode(tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[Example]:
    """All pairs as token ids; equal prompts are rendered once, and are one object."""
    prompts: dict[Any, tuple[int, ...]] = {}
    examples = []
    for pair in pairs:
        asked = pair.prompt
        if asked not in prompts:
            prompts[asked] = tuple(chat.encode(tokenizer, chat.render(tokenizer, asked)))
        examples.append(Example(prompts[asked], tuple(chat.encode_answer(tokenizer, pair))))
    return examples


def fitting(examples: Sequence[Example], max_length: int) -> list[Example]:
    """Those of at most `max_length` tokens: longer ones would have to be cut."""
    return [example for example in examples if example.length <= max_length]
