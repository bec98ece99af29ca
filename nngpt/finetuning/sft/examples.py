"""Tokenise training pairs with the one renderer (`nngpt.generation.models.chat`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nngpt.generation.models import chat
from nngpt.records import TrainingPair


@dataclass(frozen=True)
class TokenizedPair:
    """A training pair as token ids; only the answer has a loss.

    Attributes:
        prompt: token ids of the rendered prompt.
        answer: token ids of the answer, including the end of the turn.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.prompt) + len(self.answer)


def tokenize(tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[TokenizedPair]:
    """Tokenise all pairs; equal prompts are rendered once and share one tuple."""
    prompts: dict[Any, tuple[int, ...]] = {}
    tokenized = []
    for pair in pairs:
        asked = pair.prompt
        if asked not in prompts:
            prompts[asked] = tuple(chat.encode(tokenizer, chat.render(tokenizer, asked)))
        answer = tuple(chat.encode_answer(tokenizer, pair))
        tokenized.append(TokenizedPair(prompts[asked], answer))
    return tokenized


def drop_long(pairs: Sequence[TokenizedPair], max_length: int) -> list[TokenizedPair]:
    """Return the pairs of at most `max_length` tokens; longer pairs would have to be truncated."""
    return [pair for pair in pairs if pair.length <= max_length]
