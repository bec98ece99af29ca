"""Locate syntax nodes in source text by byte offsets, and edit slices of it.

Python's `ast` counts columns in UTF-8 bytes, so all offsets are in bytes.
"""

from __future__ import annotations

import ast
import bisect
import itertools
import re
from collections.abc import Iterable
from typing import NamedTuple

Placed = ast.expr | ast.stmt | ast.alias | ast.arg | ast.pattern | ast.ExceptHandler
"""Nodes that have a position."""


class Span(NamedTuple):
    """Byte range `start:end` of a file."""

    start: int
    end: int


class Edit(NamedTuple):
    """Replacement of the bytes `start:end` by `text`."""

    start: int
    end: int
    text: str


class SourceText:
    """The text of one module: `raw` UTF-8 bytes, and the offsets of its `lines` and its end."""

    def __init__(self, code: str) -> None:
        self.raw = code.encode()
        lengths = (len(line) + 1 for line in self.raw.split(b"\n"))
        self.lines = list(itertools.accumulate(lengths, initial=0))

    def span(self, node: Placed) -> Span:
        """Return the byte range of a syntax node, without decorators, as in `ast`."""
        end_line, end_column = node.end_lineno, node.end_col_offset
        assert end_line is not None and end_column is not None
        start = self.lines[node.lineno - 1] + node.col_offset
        return Span(start, self.lines[end_line - 1] + end_column)

    def line(self, offset: int) -> int:
        """Return the number of the line, from 1, in which a byte of the source text lies."""
        return bisect.bisect_right(self.lines, offset)

    def word(self, name: str, within: Span) -> Span | None:
        """Return the first whole word `name` in a span of the source text, or None."""
        pattern = rb"(?<!\w)" + re.escape(name.encode()) + rb"(?!\w)"
        found = re.compile(pattern).search(self.raw, within.start, within.end)
        return Span(*found.span()) if found else None

    def edited(self, span: Span, edits: Iterable[Edit]) -> str:
        """Return an edited slice of the source; outer edits are ignored, equal ones merged."""
        parts, at = [], span.start
        for edit in sorted(set(edits)):
            if at <= edit.start and edit.end <= span.end:
                parts += [self.raw[at : edit.start], edit.text.encode()]
                at = edit.end
        return b"".join([*parts, self.raw[at : span.end]]).decode()
