"""The record of a comparison: a JSONL file that only grows, a line the moment something is known.

A kill can cut off the last line at most; it is dropped when the file is opened again, and what it
said is done again. Nothing else is ever lost or done twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from nngpt.config import with_new_keys
from nngpt.errors import UserError
from nngpt.finetuning.compare.records import ArmFacts, Line, Outcome, Sample, Session, Setting
from nngpt.records import Refusal, Stage, canonical_json
from nngpt.store.lock import RunLock

FILE, LOCK = "samples.jsonl", ".lock"
_KINDS: dict[str, type[Line]] = {
    "setting": Setting,
    "session": Session,
    "arm": ArmFacts,
    "sample": Sample,
    "outcome": Outcome,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_ANOTHER = "Give another folder with --out, or the settings it began with"


class Samples:
    """The record in a folder, open for one writer at a time; use it in a `with`.

    Attributes:
        lines: everything recorded so far, in its order.

    Raises:
        UserError: a line is damaged, or another process works on the folder.
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
        """Record lines durably: they are on the disk when this returns."""
        new = list(lines)
        self._stream.write("".join(map(_written, new)).encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.lines += new

    def agree(self, setting: Setting, arms: Iterable[ArmFacts]) -> None:
        """Record what is compared, or see that it is what was recorded; new arms may join.

        Raises:
            UserError: the folder holds a comparison with other settings.
        """
        began = next((line for line in self.lines if isinstance(line, Setting)), None)
        if began is None:
            self.append([setting])
        elif changed := _differences(
            {**asdict(began), "settings": with_new_keys(began.settings, setting.settings)},
            asdict(setting),
        ):
            what = f"holds a comparison with other settings: {', '.join(changed)}"
            raise UserError(what, where=str(self.path), hint=_ANOTHER)
        known = {line.name: line for line in self.arms}
        for arm in arms:
            if arm.name not in known:
                self.append([arm])
            elif changed := _differences(asdict(known[arm.name]), asdict(arm)):
                what = f"arm {arm.name!r} was another one: {', '.join(changed)}"
                hint = "Call it by another name, or give another folder with --out"
                raise UserError(what, where=str(self.path), hint=hint)

    @property
    def arms(self) -> list[ArmFacts]:
        """All arms of the folder, in the order in which they joined."""
        return [line for line in self.lines if isinstance(line, ArmFacts)]

    @property
    def samples(self) -> list[Sample]:
        """All answers, in the order in which they were written."""
        return [line for line in self.lines if isinstance(line, Sample)]

    @property
    def outcomes(self) -> list[Outcome]:
        """What running them gave."""
        return [line for line in self.lines if isinstance(line, Outcome)]


def read(folder: Path) -> list[Line]:
    """Everything recorded in a folder. Raises: UserError if a line is damaged."""
    return list(_parsed((folder / FILE).read_bytes(), folder / FILE))


def _whole_lines(path: Path) -> list[Line]:
    """The lines of the file, which is cut after the last whole one."""
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


def _written(line: Line) -> str:
    return json.dumps({"kind": _NAMES[type(line)], **asdict(line)}) + "\n"


def _differences(old: object, new: object, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        parts = (_differences(old.get(k), new.get(k), f"{path}.{k}" if path else k) for k in keys)
        return [difference for part in parts for difference in part]
    same = canonical_json(old) == canonical_json(new)
    return [] if same else [f"{path.removeprefix('settings.')} was {old}, is {new}"]
