"""Write under a grammar (`sampling.constrain`): the JSON after the code of an answer, or all of it.

In a mode whose answers are code, the LLM writes the code freely. The text after the code is
dropped, and the LLM writes a settings block in which only names that the code supports and values
within LEMUR's ranges are possible. The code is unchanged; reports mark figures with constrained
settings. In a mode whose answers are JSON, the LLM writes each under the mode's schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from types import ModuleType
from typing import Any

from nngpt.errors import ConfigError, ModelError
from nngpt.generation import modes
from nngpt.generation.contract.answers import fits_schema
from nngpt.protocols import LLM, AnswersJson, TakesSettings, WritesJson
from nngpt.records import Completion, Prompt, Sampling

_OPENING, _CLOSING = "\n\n```json\n", "\n```"
_TOKENS, _TOKENS_EACH = 80, 24


def check(llm: LLM, mode: str) -> None:
    """Check that backend and prompt mode support constrained settings (`sampling.constrain`).

    Raises:
        ConfigError: the backend cannot constrain, or answers of this mode have no settings.
        ModelError: a required package is missing.
    """
    where, hint = "sampling.constrain", "Set it to false"
    if not isinstance(modes.load(mode), TakesSettings | AnswersJson):
        what = f"answers of {mode} mode have no settings to be constrained"
        raise ConfigError(what, where=where, hint=f"{hint}, or use a template of full mode.")
    if not isinstance(llm, WritesJson):
        what = f"the backend of {llm.model!r} cannot write under a constraint"
        raise ConfigError(what, where=where, hint=f"{hint}, or use transformers or openai.")
    llm.check_json()


def generate(
    llm: WritesJson,
    prompt: Prompt,
    count: int,
    seed: int,
    sampling: Sampling,
    sample: Callable[[], list[Completion]],
) -> list[Completion]:
    """Return `count` completions, constrained as `sampling.constrain` and the prompt's mode ask.

    Args:
        sample: writes completions without a constraint; those without complete code stay as they
            are, the others get constrained settings.

    Raises: ModelError if the settings do not follow the schema, because a server ignores it.
    """
    if not sampling.constrain:
        return sample()
    mode = modes.load(prompt.mode)
    if isinstance(mode, AnswersJson):
        return llm.generate_json(prompt, mode.schema, count, seed, sampling)
    return [_with_settings(llm, prompt, written, seed, sampling) for written in sample()]


def _with_settings(
    llm: WritesJson, prompt: Prompt, written: Completion, seed: int, sampling: Sampling
) -> Completion:
    """Replace the settings of one completion."""
    mode = modes.load(prompt.mode)
    if not isinstance(mode, TakesSettings):
        return written
    found = mode.settings_after(prompt.prefill + written.text)
    if found is None:
        return written
    begun, schema = found[0] + _OPENING, found[1]
    names = schema["properties"]["hyperparameters"]["required"]
    room = replace(sampling, max_new_tokens=_TOKENS + _TOKENS_EACH * len(names), constrain=False)
    asked = replace(prompt, prefill=begun, stop=())
    (block,) = llm.generate_json(asked, schema, 1, (seed + written.index) % 2**31, room)
    if block.finished and not fits_schema(block.text, schema):
        raise ModelError(
            f"the settings do not follow the schema ({block.text[:60]!r})",
            where="sampling.constrain",
            hint="Set llm.options.structured to the key that this server understands.",
        )
    text = begun + block.text + (_CLOSING if block.finished else "")
    return replace(
        written,
        text=text.removeprefix(prompt.prefill),
        completion_tokens=written.completion_tokens + block.completion_tokens,
        seconds=written.seconds + block.seconds,
        finished=block.finished,
    )


def load_xgrammar() -> ModuleType:
    """Import xgrammar, which constrains settings. Raises: ModelError if it is not installed."""
    try:
        import xgrammar
        import xgrammar.contrib.hf
    except ImportError as error:
        raise ModelError(
            f"writing under a constraint needs xgrammar ({error})",
            where="sampling.constrain",
            hint="pip install xgrammar, or set it to false.",
        ) from None
    return xgrammar  # type: ignore[no-any-return]


class Grammars:
    """Compiles JSON schemas for one tokenizer, with a cache.

    Args:
        vocabulary: size of the model's output, which may exceed the tokenizer's.
        ends: ids of the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Collection[int]) -> None:
        library = load_xgrammar()
        info = library.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=vocabulary, stop_token_ids=sorted(ends)
        )
        self._compiler = library.GrammarCompiler(info, max_threads=1)
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def processor(self, schema: Mapping[str, Any]) -> Any:
        """Return a logits processor of `transformers` for one call of `generate`.

        The constrained JSON is on one line, in the order of the schema's properties.
        """
        return load_xgrammar().contrib.hf.LogitsProcessor(self._compiled(json.dumps(schema)))

    def _compile(self, schema: str) -> Any:
        return self._compiler.compile_json_schema(schema, any_whitespace=False)
