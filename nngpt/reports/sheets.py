"""Tables as data, shown alike on a terminal, in Markdown and in HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Column, Table
from rich.text import Text

Row = Mapping[str, Any]
"""A row of a CSV file: column → value."""


@dataclass(frozen=True)
class Sheet:
    """A table as data; a leading ">" in a column's head marks numbers, `note` stands below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def heads(self) -> tuple[str, ...]:
        """Column heads without the leading ">"."""
        return tuple(column.removeprefix(">") for column in self.columns)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """True for each column of numbers."""
        return tuple(column.startswith(">") for column in self.columns)


def right(*heads: str) -> list[Column]:
    """Return right-aligned columns of a terminal table, for numbers."""
    return [Column(head, justify="right") for head in heads]


def rich_table(sheet: Sheet) -> Table:
    """Return a `Sheet` as a table for a terminal."""
    table = Table(title=sheet.title, caption=sheet.note or None)
    for head, right in zip(sheet.heads, sheet.numeric, strict=True):
        table.add_column(head, justify="right" if right else "left")
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table


def markdown_table(sheet: Sheet) -> str:
    """Return a `Sheet` as a section of Markdown."""
    lines = [f"### {sheet.title}", "", _row(sheet.heads)]
    lines.append("|" + "|".join("---:" if right else "---" for right in sheet.numeric) + "|")
    lines += [_row(tuple(map(plain, row))) for row in sheet.rows]
    return "\n".join([*lines, *(["", sheet.note] if sheet.note else [])]) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows of a table as CSV; texts like spreadsheet formulas get an apostrophe."""
    if not rows:
        return ""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    risky = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def plain(text: object) -> str:
    """Return the text of a sheet's cell as one line of Markdown, with markup escaped."""
    line = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in line)
