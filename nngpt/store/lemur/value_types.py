"""Check which Python values a table's columns can hold."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Boolean, Float, Integer, Table

Types = tuple[type, ...]


def types_of(table: Table, without: frozenset[str]) -> dict[str, Types]:
    """Return the accepted Python types of each column of a table."""
    return {c.name: _types(c.type) for c in table.columns if c.name not in without}


def value_or_none(value: Any, types: Types) -> Any:
    """Return the value if a column of these types can hold it, else None."""
    if value.__class__ not in types:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if not isinstance(value, int) or fits_64_bits(value) else None


def fits_64_bits(value: int) -> bool:
    """Return True for an integer of at most 64 bits."""
    return -(2**63) <= value < 2**63


def _types(kind: Any) -> Types:
    if isinstance(kind, Float):
        return (int, float)
    if isinstance(kind, Integer):
        return (int,)
    return (bool,) if isinstance(kind, Boolean) else (str,)
