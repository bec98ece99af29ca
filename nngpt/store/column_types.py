"""SQLAlchemy column types, and the Python values that a column can hold."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import Boolean, Float, Integer, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, UserDefinedType

Types = tuple[type, ...]


class LosslessText(TypeDecorator[str]):
    """Column for any Python string, returned unchanged.

    LLM output may contain lone surrogates, which SQLite refuses, and NULs, which end strings in SQL
    functions. Such strings are stored as a BLOB (UTF-8 with `surrogatepass`), all others as TEXT;
    `typeof(column)` tells the two apart.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """Return the text unchanged, or as bytes if SQLite cannot store it as text."""
        if value is None:
            return None
        encoded = value.encode("utf-8", "surrogatepass")
        plain = b"\0" not in encoded and encoded.decode("utf-8", "ignore") == value
        return value if plain else encoded

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return the original string."""
        return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


class LemurValue(UserDefinedType[Any]):
    """LEMUR's untyped column (OBJECT in its schema): every value comes back unchanged.

    OBJECT would have SQLite's numeric affinity, which turns 1.0 into 1 and "08" into 8; BLOB has no
    affinity.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type name in DDL."""
        return "BLOB"


def types_of(table: Table, without: frozenset[str]) -> dict[str, Types]:
    """Return the Python types that each column of a database table accepts."""
    return {c.name: _types(c.type) for c in table.columns if c.name not in without}


def value_or_none(value: Any, types: Types) -> Any:
    """Return the value if a column of a table with these types can hold it, else None."""
    if value.__class__ not in types:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if not isinstance(value, int) or fits_64_bits(value) else None


def fits_64_bits(value: int) -> bool:
    """Return True for an integer that SQLite can store (64 bits)."""
    return -(2**63) <= value < 2**63


def _types(kind: Any) -> Types:
    if isinstance(kind, Float):
        return (int, float)
    if isinstance(kind, Integer):
        return (int,)
    return (bool,) if isinstance(kind, Boolean) else (str,)
