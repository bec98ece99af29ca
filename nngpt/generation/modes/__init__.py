"""Load prompt modes, one file each: how an answer of the LLM holds a network."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from nngpt import plugins

if TYPE_CHECKING:
    from nngpt.protocols import PromptMode


@cache
def load(name: str) -> PromptMode:
    """Return the prompt mode of this name or dotted path. Raises: PluginError."""
    return cast("PromptMode", plugins.create("prompt mode", name))
