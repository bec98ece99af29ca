"""Opens the LLM that answers `nngpt hpo predict --engine llm` and `nngpt hpo bench --adapter`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt.errors import ConfigError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.protocols import WritesJson


@contextmanager
def answering(settings: Config, adapter: Path | None) -> Iterator[WritesJson]:
    """The configured LLM, with an adapter if one is given.

    Raises:
        ConfigError: its backend cannot write under a constraint.
        ModelError: the model, the adapter or a package is missing.
    """
    from nngpt import plugins
    from nngpt.generation.models.adapters import find_adapter
    from nngpt.protocols import LLM, WritesJson

    found = None if adapter is None else find_adapter(adapter)
    llm: LLM = plugins.load("LLM backend", settings.llm.backend).create(settings.llm)
    with closing(llm):
        if not isinstance(llm, WritesJson):
            raise ConfigError(
                f"the backend of {llm.model!r} cannot write under a constraint",
                where="llm.backend",
                hint="Use transformers or openai",
            )
        llm.check_json()
        llm.use_adapter(found)
        yield llm


def base_of(adapter: Path | None) -> str | None:
    """The base model that an adapter was made for. Raises: ModelError."""
    from nngpt.generation.models.adapters import find_adapter

    return None if adapter is None else find_adapter(adapter).base
