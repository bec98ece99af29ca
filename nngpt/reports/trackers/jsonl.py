"""Tracker `jsonl`: a file with one JSON object per event, for scripts; needs no package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from nngpt.files import append_lines, parse_json, whole_lines
from nngpt.records import TrackedEvent, TrackedRun

FILE = "events.jsonl"


def create(run: TrackedRun) -> JsonLines:
    """Return the tracker; it continues the file of a run that resumes."""
    return JsonLines(run.folder / FILE)


class JsonLines:
    """Appends events to a file; an event that is in it already is not written again."""

    def __init__(self, path: Path) -> None:
        self._path, self.key = path, path.name
        lines = map(parse_json, whole_lines(path))
        self._written = {(line["kind"], line["number"]) for line in lines}

    def log(self, events: Sequence[TrackedEvent]) -> None:
        """Append a line for each event: `kind`, `number`, `at`, `figures`, `facts`, `curve`."""
        new = [event for event in events if (event.kind, event.number) not in self._written]
        append_lines(self._path, (json.dumps(asdict(event)).encode() for event in new))
        self._written |= {(event.kind, event.number) for event in new}

    def add_artefact(self, name: str, path: Path) -> None:
        """Append a line with the kind "artefact" and the path."""
        line = {"kind": "artefact", "number": None, "name": name, "path": str(path.resolve())}
        append_lines(self._path, [json.dumps(line).encode()])

    def close(self, finished: bool | None) -> None:
        """Do nothing: every line is in the file."""
