"""Constrain generation to JSON that follows a schema, with `xgrammar` (extra `constrained`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from nngpt.errors import ModelError


def load() -> ModuleType:
    """Import xgrammar. Raises: ModelError if it is not installed."""
    try:
        import xgrammar
        import xgrammar.contrib.hf
    except ImportError as error:
        raise ModelError(
            f"writing under a constraint needs xgrammar ({error})",
            where="sampling.constrain",
            hint="pip install nngpt[constrained], or set it to false.",
        ) from None
    return xgrammar  # type: ignore[no-any-return]


class Grammars:
    """Compiles JSON schemas for one tokenizer, with a cache.

    Args:
        vocabulary: size of the model's output, which may exceed the tokenizer's.
        ends: ids of the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Collection[int]) -> None:
        library = load()
        info = library.TokenizerInfo.from_huggingface(
            tokenizer, vocab_size=vocabulary, stop_token_ids=sorted(ends)
        )
        self._compiler = library.GrammarCompiler(info, max_threads=1)
        self._compiled = lru_cache(maxsize=256)(self._compile)

    def processor(self, schema: Mapping[str, Any]) -> Any:
        """Return a logits processor of `transformers` for one call of `generate`.

        The constrained JSON is on one line, in the order of the schema's properties.
        """
        return load().contrib.hf.LogitsProcessor(self._compiled(json.dumps(schema)))

    def _compile(self, schema: str) -> Any:
        return self._compiler.compile_json_schema(schema, any_whitespace=False)
