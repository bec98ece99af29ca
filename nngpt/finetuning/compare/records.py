"""The record of a comparison: samples, outcomes and settings as lines of a JSONL file.

All figures follow from these lines. A kill can cut off the last line at most. The next line
replaces it, and its work is repeated; nothing else is lost or done twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from nngpt.config import describe_changes, with_new_keys
from nngpt.errors import UserError
from nngpt.files import append_lines, whole_lines
from nngpt.records import Refusal, Stage
from nngpt.store.lock import RunLock

CHECK, TRAIN = "check", "train"
"""Ways to judge a network: one training step on noise, or one epoch on the task's images."""

FILE, LOCK = "samples.jsonl", ".lock"
_ANOTHER = "Give another folder with --out, or the original settings"


@dataclass(frozen=True)
class SharedSettings:
    """The settings that all arms of a comparison share: seed, model, protocol, …"""

    settings: Mapping[str, Any]
    format: int = 1


@dataclass(frozen=True)
class ArmFacts:
    """Record of an arm: facts that must not change while a comparison goes on.

    Attributes:
        adapter: lineage and sha256 of the weights, None for the base model.
        mode: prompt mode: how much of a network the arm writes.
        settings: the arm's configuration without the shared settings.
    """

    name: str
    adapter: Mapping[str, Any] | None
    mode: str
    template_hash: str
    settings: Mapping[str, Any]

    @property
    def is_base(self) -> bool:
        """True for the base model without an adapter."""
        return self.adapter is None


@dataclass(frozen=True)
class Session:
    """Record of one start of a comparison's command.

    Attributes:
        started: time in UTC, ISO 8601.
        samples: number of answers wanted for each prompt.
        how: `CHECK`, `TRAIN`, or "" to run nothing.
        tasks: names of the data sets.
        prompts: data sets of each prompt, by arm and by key of the prompt.
        machine: processor, cores, GPU and versions.
    """

    started: str
    command: str
    samples: int
    how: str
    tasks: tuple[str, ...]
    prompts: Mapping[str, Mapping[str, Sequence[str]]]
    machine: Mapping[str, Any]

    def wants(self, arm: str, asked: str, how: str, task: str) -> int:
        """Return how many of an arm's answers to a prompt the session judges this way."""
        tasks = self.prompts.get(arm, {}).get(asked)
        if tasks is None or how not in ("", self.how):
            return 0
        return self.samples if not how or task in (self.tasks if how == CHECK else tasks) else 0


SampleKey = tuple[str, str, int]
"""Arm, key of the prompt, and index of an answer."""


@dataclass(frozen=True)
class Sample:
    """Record of one answer of an arm.

    Attributes:
        asked: key of the prompt.
        tasks: data sets that the prompt is for.
        index: number among the arm's answers to this prompt, from 0.
        batch: number of its batch; `size` answers were written together from `seed`.
        seconds: wall time of the batch divided by its size.
        finished: False if the token limit cut the answer off.
        refusal: why the contract refuses the answer, None if it does not.
        hash: LEMUR's id of the network, "" if there is none.
        network: canonical form of the network as written; similarity is measured on it.
        shown: True for an exact copy of an example in the prompt.
    """

    arm: str
    asked: str
    tasks: tuple[str, ...]
    index: int
    batch: int
    size: int
    seed: int
    text: str = field(repr=False)
    prompt_tokens: int
    tokens: int
    seconds: float
    finished: bool
    refusal: Refusal | None
    hash: str = ""
    network: str = field(default="", repr=False)
    shown: bool = False

    @property
    def key(self) -> SampleKey:
        """Key of the answer."""
        return self.arm, self.asked, self.index


@dataclass(frozen=True)
class SampleOutcome:
    """Record of the result of running a sample's network on one task.

    Attributes:
        how: `CHECK` or `TRAIN`.
        run: digest of code and settings; equal digests give equal outcomes.
        refusal: why the network does not run, None if it does.
        accuracy: validation accuracy after the first epoch, 0…1; None unless trained.
        total: number of validation images.
        parameters: trainable parameters as counted by the candidate's process.
        seconds: wall time of the run; 0 for a copied outcome.
        copied: True if taken from an exact copy, of any arm, that had run before.
    """

    arm: str
    asked: str
    index: int
    how: str
    task: str
    classes: int
    run: str
    refusal: Refusal | None
    accuracy: float | None = None
    total: int = 0
    parameters: int = 0
    seconds: float = 0.0
    copied: bool = False

    @property
    def key(self) -> SampleKey:
        """Key of the answer that was run."""
        return self.arm, self.asked, self.index


Line = SharedSettings | Session | ArmFacts | Sample | SampleOutcome
"""A line of the record."""


_KINDS: dict[str, type[Line]] = {
    "setting": SharedSettings,
    "session": Session,
    "arm": ArmFacts,
    "sample": Sample,
    "outcome": SampleOutcome,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
L = TypeVar("L", bound=Line)


class Samples:
    """A comparison's record in a folder, open for one writer at a time; a context manager.

    `lines` are all lines recorded so far, in order. Raises: UserError if a line is damaged, or
    another process uses the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = RunLock(folder / LOCK)
        try:
            self.lines = read_record(folder)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def append(self, lines: Iterable[Line]) -> None:
        """Append lines to the record and flush them to disk."""
        new = list(lines)
        texts = (json.dumps({"kind": _NAMES[type(line)], **asdict(line)}) for line in new)
        append_lines(self.path, (text.encode() for text in texts))
        self.lines += new

    def agree(self, setting: SharedSettings, arms: Iterable[ArmFacts]) -> None:
        """Record settings and arms, or check that they equal the recorded ones; new arms may join.

        Raises: UserError if the folder holds a comparison with other settings.
        """
        if began := self.of(SharedSettings):
            completed = with_new_keys(began[0].settings, setting.settings)
            if changed := describe_changes(completed, setting.settings):
                what = f"holds a comparison with other settings: {changed}"
                raise UserError(what, where=str(self.path), hint=_ANOTHER)
        else:
            self.append([setting])
        known = {line.name: line for line in self.of(ArmFacts)}
        for arm in arms:
            if arm.name not in known:
                self.append([arm])
            elif changed := describe_changes(asdict(known[arm.name]), asdict(arm)):
                what = f"arm {arm.name!r} has changed: {changed}"
                hint = "Give the arm another name, or another folder with --out"
                raise UserError(what, where=str(self.path), hint=hint)

    def of(self, kind: type[L]) -> list[L]:
        """Return all recorded lines of one kind, in order."""
        return [line for line in self.lines if isinstance(line, kind)]


def read_record(folder: Path) -> list[Line]:
    """Return the samples of a comparison's folder. Raises: UserError if a line is damaged."""
    lines = []
    for number, raw in enumerate(whole_lines(folder / FILE), 1):
        try:
            lines.append(_line(json.loads(raw)))
        except (ValueError, KeyError, TypeError) as error:
            where = f"{folder / FILE}, line {number}"
            hint = "Remove the line, or give another folder with --out"
            raise UserError(f"is damaged ({error!r})", where=where, hint=hint) from None
    return lines


def _line(values: dict[str, Any]) -> Line:
    kind = _KINDS[values.pop("kind")]
    if refusal := values.get("refusal"):
        values["refusal"] = Refusal(**{**refusal, "stage": Stage(refusal["stage"])})
    if "tasks" in values:
        values["tasks"] = tuple(values["tasks"])
    return kind(**values)
