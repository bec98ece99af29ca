"""The JSON schema of an answer's settings block, for constrained decoding."""

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
"""Range of hyperparameters for which LEMUR has none."""


def settings_after(text: str) -> tuple[str, dict[str, Any]] | None:
    """Find where an answer's settings begin in `full` mode, and the JSON schema that fits its code.

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
    """Return the JSON schema of `Settings` for code that supports these hyperparameters.

    Each of them needs a value within LEMUR's range, no other may have one; batch size and
    transform are optional.
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


def fits_schema(text: str, schema: Mapping[str, Any]) -> bool:
    """Return True if the text of an answer's settings block fits a `settings_schema`."""
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
    """Return the schema of an optional field of `Hyperparameters`, reduced to type and range."""
    kind = next(kind for kind in field["anyOf"] if kind["type"] != "null")
    return {key: kind[key] for key in ("type", "minimum", "maximum")}
