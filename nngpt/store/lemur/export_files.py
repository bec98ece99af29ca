"""Write the files of an export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nngpt.store.lemur.records import ExportReport, Progress

_LONGEST_NAME = 255


class FileWriter:
    """Write files below a folder; skip those with an impossible name or text."""

    def __init__(
        self, root: Path, report: ExportReport, progress: Progress | None, total: int
    ) -> None:
        self._root, self._report = root, report
        self._progress, self._total = progress, total
        self._done = 0
        self._made: Path | None = None

    def write(self, path: str, text: str) -> bool:
        """Write a file; return False if it was skipped."""
        parts = path.split("/")
        if any(len(part.encode("utf-8", "replace")) > _LONGEST_NAME for part in parts):
            return self.skip(path, "the name is too long for a file name")
        if "\0" in path or not all(parts) or {".", ".."} & {*parts} or len(parts) > 4:
            return self.skip(path, "the name is not a valid file name")
        try:
            data = text.encode()
            target = self._root.joinpath(*parts)
            str(target).encode()
        except UnicodeEncodeError:
            return self.skip(path, "contains half a surrogate pair")
        if target.parent != self._made:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._made = target.parent
        target.write_bytes(data)
        self._report_progress()
        return True

    def skip(self, path: str, reason: str) -> bool:
        """Report a file as skipped, and return False."""
        self._report.skipped.add(path, reason)
        self._report_progress()
        return False

    def _report_progress(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, max(self._done, self._total))


def trials_json(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return trials as `json.dumps(trials, indent=4)` would, but faster."""
    if not trials:
        return "[]"
    return "[\n    " + ",\n    ".join(map(_trial_json, trials)) + "\n]"


def _trial_json(trial: Mapping[str, Any]) -> str:
    if any(isinstance(value, dict | list) for value in trial.values()):
        return json.dumps(trial, indent=4).replace("\n", "\n    ")
    # `indent` selects a slow encoder; separators with white space give the same text.
    return "{\n        " + _FLAT.encode(trial)[1:-1] + "\n    }"


_FLAT = json.JSONEncoder(separators=(",\n        ", ": "))
