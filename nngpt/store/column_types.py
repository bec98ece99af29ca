"""Column types: text that loses nothing, and LEMUR's untyped values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, UserDefinedType


class LosslessText(TypeDecorator[str]):
    """Any Python string, unchanged.

    What a language model writes may hold lone surrogates, which SQLite refuses, and NULs, at
    which SQL's text functions stop. Such strings are stored as a BLOB (UTF-8 with
    `surrogatepass`), all others as TEXT; the stored type says which (`typeof(column)`).
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:
        """Text as it is, or bytes where SQLite's text would not do."""
        if value is None:
            return None
        encoded = value.encode("utf-8", "surrogatepass")
        plain = b"\0" not in encoded and encoded.decode("utf-8", "ignore") == value
        return value if plain else encoded

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """The string that was given."""
        return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


class LemurValue(UserDefinedType[Any]):
    """LEMUR's untyped column (it declares OBJECT): every value comes back as it was given.

    OBJECT would have SQLite's numeric affinity, which turns 1.0 into 1 and "08" into 8; BLOB has
    none.
    """

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type name in DDL."""
        return "BLOB"
