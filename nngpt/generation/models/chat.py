"""The one renderer: the bytes the LLM is tuned on are the bytes it is asked for (invariant 1)."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from nngpt.errors import ModelError
from nngpt.records import Prompt, TrainingPair


def render(tokenizer: Any, prompt: Prompt) -> str:
    """The prompt as text, ending with the beginning of the answer (the prefill).

    Uses the model's own chat template; a base model without one gets the messages as
    paragraphs.

    Raises:
        ModelError: the template refuses these roles.
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
    """Token ids of rendered text; the template has put the special tokens in already."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_pair(tokenizer: Any, pair: TrainingPair) -> tuple[list[int], list[int]]:
    """Token ids of prompt and completion, apart, as in sampling; the completion ends its turn."""
    return encode(tokenizer, render(tokenizer, pair.prompt)), encode_answer(tokenizer, pair)


def encode_answer(tokenizer: Any, pair: TrainingPair) -> list[int]:
    """Token ids of the completion, with the end of its turn."""
    return [*encode(tokenizer, pair.completion), tokenizer.eos_token_id]


def cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """`text` up to and including the first stop string, and whether there was one."""
    ends = [text.index(s) + len(s) for s in stop if s in text]
    return (text[: min(ends)], True) if ends else (text, False)
