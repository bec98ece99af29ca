"""Render chats to text and encode them as tokens, alike for sampling and for training.

The only renderer: the bytes that the LLM is tuned on are the bytes that it later continues (One
renderer, docs/design.md).
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from nngpt.errors import ModelError
from nngpt.records import Prompt, TrainingPair


def render(tokenizer: Any, prompt: Prompt) -> str:
    """Render a chat prompt as text that ends with the prefill.

    Uses the model's own chat template; for a base model without one, the messages become
    paragraphs.

    Raises: ModelError if the chat template refuses these roles.
    """
    messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
    if tokenizer.chat_template:
        try:
            text = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template does not take this prompt ({error})",
                where=f"prompt.template: {prompt.template}",
                hint="Use one without a system message, or another model.",
            ) from None
    else:
        text = "".join(f"{m['content']}\n\n" for m in messages)
    return str(text) + prompt.prefill


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a rendered chat, which already contains its special tokens."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_answer(tokenizer: Any, pair: TrainingPair) -> list[int]:
    """Return the token ids of a chat's completion, with the end-of-turn token unless cut off."""
    ids = encode(tokenizer, pair.completion)
    return [*ids, tokenizer.eos_token_id] if pair.finished else ids


def cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """Cut a chat's completion after the first stop string; return it and whether there was one."""
    ends = [text.index(s) + len(s) for s in stop if s in text]
    return (text[: min(ends)], True) if ends else (text, False)
