"""What import and export pass along, as records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from nngpt.errors import NngptError

Kind = Literal["nn", "transform", "metric"]
KINDS: tuple[Kind, ...] = ("nn", "transform", "metric")
"""LEMUR's tables of code; its folders have the same names."""

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""


class Broken(NngptError):  # noqa: N818 (a fact about somebody's file, not our fault)
    """One file or row that cannot be imported; the rest can. `what` is the reason."""


@dataclass(frozen=True)
class Experiment:
    """What a folder of statistics is about; LEMUR joins the four names with `_`.

    Attributes:
        metric: one metric, or several with commas between them.
    """

    task: str
    dataset: str
    metric: str
    nn: str

    @property
    def folder(self) -> str:
        """The folder's name."""
        return "_".join((self.task, self.dataset, self.metric, self.nn))


@dataclass(frozen=True, slots=True)
class Trial:
    """One result of training a network, split as LEMUR's tables want it.

    Attributes:
        id: LEMUR's key of the row.
        uid: key of the hyperparameters; opaque.
        transform: name of the transform, None if the trial names none.
        accuracy: value of the metric, None if the trial gives no finite number.
        duration: nanoseconds, None if not given.
        parameters: hyperparameters as SQLite keeps them.
        measured: the row of `train_stat`, None if there is none.
        extra: what the tables cannot hold, by its key in the file.
    """

    id: str
    uid: str
    transform: str | None
    accuracy: float | None
    duration: float | None
    parameters: Mapping[str, Any]
    measured: Mapping[str, Any] | None
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class CodeFile:
    """A network, transform or metric: its name and its whole source."""

    path: str
    kind: Kind
    name: str
    code: str


@dataclass(frozen=True)
class StatFile:
    """The trials of one experiment that were judged after the same epoch, best first."""

    path: str
    experiment: Experiment
    epoch: int
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class RunFile:
    """A network's run on a device.

    Attributes:
        path: below `stat/run`.
        row: the row of LEMUR's table `run`, without what is not given.
        record: the whole file as JSON, without the analytics that the row holds.
    """

    path: str
    row: Mapping[str, Any]
    record: str


@dataclass(frozen=True)
class TableRows:
    """Rows of one of LEMUR's other tables, as a database holds them."""

    path: str
    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Refused:
    """A file or row that is not imported, or not exported, and why.

    Attributes:
        network: the network whose code it was to be, if any.
    """

    path: str
    reason: str
    network: str | None = None


Item = CodeFile | StatFile | RunFile | TableRows | Refused


class Source(Protocol):
    """Somewhere to import from. What is broken in it comes as `Refused`.

    Attributes:
        name: for a person.
        sha256: of the file it is, None for a folder.
        total: how many items it will give, about.
        left_alone: how many files (by folder) or rows (by table) are not for us.
    """

    name: str
    sha256: str | None
    total: int
    left_alone: dict[str, int]

    def items(self) -> Iterator[Item]:
        """Code first, networks before all; then statistics in the order of their names."""

    def close(self) -> None:
        """Nothing can be read afterwards."""


@dataclass
class Count:
    """How many were read, and how many of them are new here."""

    read: int = 0
    new: int = 0


@dataclass
class Examples:
    """A number of cases, of which the first are named."""

    count: int = 0
    first: list[Refused] = field(default_factory=list)

    def add(self, path: str, reason: str) -> None:
        """Count a case, and name it if it is among the first 100."""
        self.count += 1
        if len(self.first) < 100:
            self.first.append(Refused(path, reason))


@dataclass
class ImportReport:
    """What an import found.

    Attributes:
        files: statistics files, the empty ones among them.
        rows: trials.
        settings: sets of hyperparameters.
        runs: runs on devices.
        tables: rows of LEMUR's other tables, by table.
        duplicates: trials that their file lists twice; stored once.
        refused: what is not imported.
        left_alone: files or rows that are not for us, by folder or table.
        seconds: wall time.
    """

    source: str
    sha256: str | None
    networks: Count = field(default_factory=Count)
    transforms: Count = field(default_factory=Count)
    metrics: Count = field(default_factory=Count)
    files: int = 0
    empty: Count = field(default_factory=Count)
    rows: Count = field(default_factory=Count)
    settings: Count = field(default_factory=Count)
    runs: Count = field(default_factory=Count)
    tables: dict[str, Count] = field(default_factory=dict)
    duplicates: Examples = field(default_factory=Examples)
    refused: Examples = field(default_factory=Examples)
    left_alone: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class ExportReport:
    """What an export wrote; `skipped` has no place in LEMUR's folders."""

    networks: int = 0
    transforms: int = 0
    metrics: int = 0
    files: int = 0
    empty: int = 0
    rows: int = 0
    runs: int = 0
    skipped: Examples = field(default_factory=Examples)
    seconds: float = 0.0
