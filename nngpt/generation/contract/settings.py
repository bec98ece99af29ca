"""The settings block as a JSON schema, for writing it under a constraint."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nngpt.data import transform_names
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import PROTOCOL, Hyperparameters, Settings
from nngpt.generation.contract.interface import read_supported

_OTHER = {"type": "number", "minimum": 0, "maximum": 1000}
"""For names that LEMUR gives no range."""


def settings_after(text: str) -> tuple[str, dict[str, Any]] | None:
    """Where the settings of a whole answer in `full` mode begin, and what they may be.

    Returns:
        The answer up to the end of its code block, and `settings_schema` of that code; None if the
        block is not closed or its hyperparameters cannot be read (the answer is refused anyway).
    """
    code = answers.code_block(text)
    if code is None or not code.closed:
        return None
    try:
        supported = read_supported(ast.parse(code.text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(supported, frozenset) or not all(map(str.isidentifier, supported)):
        return None
    return text[: code.end], settings_schema(supported)


def settings_schema(supported: frozenset[str]) -> dict[str, Any]:
    """JSON schema of `Settings` for code that supports these hyperparameters.

    A value for each of them is required and for no other; batch size and transform are free.
    Numbers are within LEMUR's ranges.
    """
    ranges = Hyperparameters.model_json_schema()["properties"]
    names = sorted(supported - PROTOCOL)
    values = {name: _range(ranges[name]) if name in ranges else _OTHER for name in names}
    hyperparameters = {
        "type": "object",
        "properties": {**values, "batch": _range(ranges["batch"])},
        "required": names,
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {
            "hyperparameters": hyperparameters,
            "transform": {"enum": transform_names.names()},
        },
        "required": ["hyperparameters"],
        "additionalProperties": False,
    }


def obeys(text: str, schema: Mapping[str, Any]) -> bool:
    """True if a settings block is what a `settings_schema` allows."""
    try:
        found = json.loads(text)
        settings = Settings.model_validate(found)
    except (ValueError, ValidationError):
        return False
    allowed = schema["properties"]["hyperparameters"]
    given = set(found.get("hyperparameters", {}))
    named = settings.transform in (None, *schema["properties"]["transform"]["enum"])
    return named and set(allowed["required"]) <= given <= set(allowed["properties"])


def _range(field: Mapping[str, Any]) -> dict[str, Any]:
    """The range of an optional field of `Hyperparameters`."""
    kind = next(kind for kind in field["anyOf"] if kind["type"] != "null")
    return {key: kind[key] for key in ("type", "minimum", "maximum")}
