"""Records that import and export exchange: code files, trials, runs, refusals, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from nngpt.errors import NngptError

Kind = Literal["nn", "transform", "metric"]
KINDS: tuple[Kind, ...] = ("nn", "transform", "metric")
"""LEMUR's tables of code; its folders have the same names."""

Progress = Callable[[int, int], None]
"""Called with the number of finished items and their total."""


class BrokenFile(NngptError):  # noqa: N818 (describes the file, not a fault of ours)
    """A file or row of LEMUR that cannot be imported, while the rest can; `what` says why."""


@dataclass(frozen=True)
class Experiment:
    """Task, data set, metric and network of a statistics folder, joined by `_` in its name.

    Attributes:
        metric: one metric, or several separated by commas.
    """

    task: str
    dataset: str
    metric: str
    nn: str

    @property
    def folder(self) -> str:
        """Name of the folder."""
        return "_".join((self.task, self.dataset, self.metric, self.nn))


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One training recorded by LEMUR (trial), split into the columns of LEMUR's tables.

    Attributes:
        id: LEMUR's key of the row.
        uid: key of the hyperparameters.
        transform: name of the transform, or None.
        accuracy: value of the metric, None if it is not a finite number.
        duration: nanoseconds, or None.
        parameters: hyperparameters as SQLite stores them.
        measured: row of `train_stat`, or None.
        extra: values that the tables cannot hold, by their key in the file.
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
    """Name and source text of a network, transform or metric of LEMUR."""

    path: str
    kind: Kind
    name: str
    code: str


@dataclass(frozen=True)
class StatFile:
    """LEMUR's statistics file: trials of one experiment after one epoch, best first."""

    path: str
    experiment: Experiment
    epoch: int
    trials: tuple[TrialRecord, ...]


@dataclass(frozen=True)
class RunFile:
    """A LEMUR network's run on a device.

    Attributes:
        path: path relative to `stat/run`.
        row: row of LEMUR's table `run`, without missing values.
        record: the file as JSON, without the analytics that the row contains.
    """

    path: str
    row: Mapping[str, Any]
    record: str


@dataclass(frozen=True)
class TableRows:
    """Rows of a table of LEMUR's database other than code, trials and their settings."""

    path: str
    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Refused:
    """A file or row that a LEMUR import or export leaves out, with the reason.

    Attributes:
        network: the network whose code the file contains, or None.
    """

    path: str
    reason: str
    network: str | None = None


Item = CodeFile | StatFile | RunFile | TableRows | Refused


class ImportSource(Protocol):
    """Protocol of sources of a LEMUR import; broken files come as `Refused` items.

    Attributes:
        name: description for messages.
        sha256: hash of the file, None for a folder.
        total: estimated number of items.
        left_alone: number of ignored files by folder, or of ignored rows by table.
    """

    name: str
    sha256: str | None
    total: int
    left_alone: dict[str, int]

    def items(self) -> Iterator[Item]:
        """Yield code, networks first, then statistics ordered by name."""

    def close(self) -> None:
        """Close the source of the import."""


@dataclass
class Count:
    """Number of items that an import has read, and of those new in the database."""

    read: int = 0
    new: int = 0


@dataclass
class Examples:
    """A number of files left out by an import or export; the first 100 are listed."""

    count: int = 0
    first: list[Refused] = field(default_factory=list)

    def add(self, path: str, reason: str) -> None:
        """Count a file left out, and list it if it is among the first 100."""
        self.count += 1
        if len(self.first) < 100:
            self.first.append(Refused(path, reason))


@dataclass
class ImportReport:
    """Counts of a LEMUR import.

    Attributes:
        files: statistics files, including empty ones.
        rows: trials.
        settings: sets of hyperparameters.
        runs: runs on devices.
        tables: rows of LEMUR's other tables, by table.
        duplicates: trials that their file lists twice; stored once.
        refused: files and rows that were not imported.
        left_alone: ignored files or rows, by folder or table.
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
    """Counts of a LEMUR export; `skipped` lists what LEMUR's folders cannot hold."""

    networks: int = 0
    transforms: int = 0
    metrics: int = 0
    files: int = 0
    empty: int = 0
    rows: int = 0
    runs: int = 0
    skipped: Examples = field(default_factory=Examples)
    seconds: float = 0.0
