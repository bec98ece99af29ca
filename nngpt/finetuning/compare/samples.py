"""The record of a comparison: a JSONL file that only grows, written line by line.

A kill can cut off the last line at most. That line is dropped when the file is opened again, and
its work is repeated; nothing else is lost or done twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

from nngpt.config import with_new_keys
from nngpt.errors import UserError
from nngpt.finetuning.compare import records
from nngpt.finetuning.compare.records import ArmFacts, Line, SharedSettings, differing
from nngpt.records import Refusal, Stage
from nngpt.store.lock import RunLock

FILE, LOCK = "samples.jsonl", ".lock"
_KINDS: dict[str, type[Line]] = {
    "setting": SharedSettings,
    "session": records.Session,
    "arm": ArmFacts,
    "sample": records.Sample,
    "outcome": records.SampleOutcome,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
L = TypeVar("L", bound=Line)
_ANOTHER = "Give another folder with --out, or the original settings"


class Samples:
    """A comparison's record in a folder, open for one writer at a time; a context manager.

    `lines` are all lines recorded so far, in order. Raises: UserError if a line is damaged, or
    another process uses the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = RunLock(folder / LOCK)
        try:
            self.lines = _whole_lines(self.path)
            self._stream = self.path.open("ab")
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._lock.release()

    def append(self, lines: Iterable[Line]) -> None:
        """Append lines to the record and flush them to disk."""
        new = list(lines)
        for line in new:
            text = json.dumps({"kind": _NAMES[type(line)], **asdict(line)})
            self._stream.write(f"{text}\n".encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.lines += new

    def agree(self, setting: SharedSettings, arms: Iterable[ArmFacts]) -> None:
        """Record settings and arms, or check that they equal the recorded ones; new arms may join.

        Raises: UserError if the folder holds a comparison with other settings.
        """
        if began := self.of(SharedSettings):
            completed = with_new_keys(began[0].settings, setting.settings)
            old = {**asdict(began[0]), "settings": completed}
            if changed := _changes(old, asdict(setting)):
                what = f"holds a comparison with other settings: {changed}"
                raise UserError(what, where=str(self.path), hint=_ANOTHER)
        else:
            self.append([setting])
        known = {line.name: line for line in self.of(ArmFacts)}
        for arm in arms:
            if arm.name not in known:
                self.append([arm])
            elif changed := _changes(asdict(known[arm.name]), asdict(arm)):
                what = f"arm {arm.name!r} has changed: {changed}"
                hint = "Give the arm another name, or another folder with --out"
                raise UserError(what, where=str(self.path), hint=hint)

    def of(self, kind: type[L]) -> list[L]:
        """Return all recorded lines of one kind, in order."""
        return [line for line in self.lines if isinstance(line, kind)]


def read_record(folder: Path) -> list[Line]:
    """Return the samples of a comparison's folder. Raises: UserError if a line is damaged."""
    return list(_parsed((folder / FILE).read_bytes(), folder / FILE))


def _whole_lines(path: Path) -> list[Line]:
    """Return the record's lines; the file is truncated after the last complete one."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    lines = list(_parsed(whole, path))
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return lines


def _parsed(data: bytes, path: Path) -> Iterator[Line]:
    for number, raw in enumerate(data.split(b"\n")[:-1], 1):
        try:
            yield _line(json.loads(raw))
        except (ValueError, KeyError, TypeError) as error:
            where = f"{path}, line {number}"
            hint = "Remove the line, or give another folder with --out"
            raise UserError(f"is damaged ({error!r})", where=where, hint=hint) from None


def _line(values: dict[str, Any]) -> Line:
    kind = _KINDS[values.pop("kind")]
    if refusal := values.get("refusal"):
        values["refusal"] = Refusal(**{**refusal, "stage": Stage(refusal["stage"])})
    if "tasks" in values:
        values["tasks"] = tuple(values["tasks"])
    return kind(**values)


def _changes(old: object, new: object) -> str:
    found = differing(old, new)
    return ", ".join(f"{path.removeprefix('settings.')} was {a}, is {b}" for path, a, b in found)
