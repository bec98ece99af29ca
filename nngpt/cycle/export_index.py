"""The index of a folder of exported networks, complete after each network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nngpt import files
from nngpt.reports.cards import index_sheet
from nngpt.reports.sheets import Sheet, markdown_table
from nngpt.store import RunRecord


class ExportIndex:
    """`index.json` and `index.md` of an export, rewritten after each network.

    Attributes:
        rows: the facts of each exported or refused network, by attempt.
    """

    def __init__(self, out: Path, record: RunRecord, made: Mapping[str, Any]) -> None:
        """Begin an empty index.

        Args:
            out: the folder of the export.
            made: the attempts in order, and the settings of the export.
        """
        self._out, self._record, self._made = out, record, dict(made)
        self.rows: dict[int, dict[str, Any]] = {}

    @property
    def facts(self) -> dict[str, Any]:
        """The contents of `index.json`, with the networks in the order of the attempts."""
        rows = [self.rows[number] for number in self._made["attempts"] if number in self.rows]
        head = {"run": self._record.id, "name": self._record.name}
        return {**head, "made": self._made, "networks": rows}

    @property
    def sheet(self) -> Sheet:
        """The table of `index.md`."""
        title = f"Networks of run {self._record.id}: {self._record.name}"
        return index_sheet(self.facts["networks"], title)

    def resume(self) -> bool:
        """Take over the networks of an index that the same command wrote; return False if none."""
        try:
            found = json.loads((self._out / "index.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        same = isinstance(found, dict) and {**found, "networks": []} == self.facts
        if same:
            whole = [row for row in found["networks"] if self._is_whole(row)]
            self.rows = {row["attempt"]: row for row in whole}
        return same

    def add(self, row: dict[str, Any]) -> None:
        """Add one network and write both files."""
        self.rows[row["attempt"]] = row
        self.write()

    def write(self) -> None:
        """Write both files, each by one rename."""
        self._write("index.json", json.dumps(self.facts, indent=2) + "\n")
        self._write("index.md", markdown_table(self.sheet))

    def _is_whole(self, row: dict[str, Any]) -> bool:
        """Return whether a network was exported; refused networks are tried again."""
        return "folder" in row and (self._out / row["folder"] / "card.md").is_file()

    def _write(self, name: str, text: str) -> None:
        partial = self._out / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        files.publish(partial, self._out / name)
