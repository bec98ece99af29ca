"""SQLAlchemy column types: lossless text, and LEMUR's untyped values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, UserDefinedType


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
