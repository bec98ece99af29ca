"""NAS-Bench-201: a table of trained cells in place of images, for the executor `nasbench201`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nngpt.data import cache, nasbench201
from nngpt.data.splits import Part, Splits
from nngpt.downloads import Progress, silent
from nngpt.errors import DataError
from nngpt.plugins import PluginOptions


class Options(PluginOptions):
    """Options of the data set `nasbench201`: the data set on which its cells were trained."""

    table: Literal["cifar10", "cifar100", "imagenet16-120"] = "cifar10"


class CellTable:
    """A table of NAS-Bench-201 as a data set without images; implements `DatasetSource`.

    Attributes:
        progress: called with a line of text for each slow step.
    """

    images = 0

    def __init__(self, table: str, progress: Progress = silent) -> None:
        spec = nasbench201.TABLES[table]
        self.name, self.shape, self.classes = nasbench201.key(table), spec.shape, spec.classes
        self.class_names = tuple(map(str, range(spec.classes)))
        self.progress = progress

    def available(self) -> bool:
        """Return True if the table is in the cache."""
        return cache.read_meta(self.name) is not None

    def prepare(self) -> None:
        """Download the package and verify its tables, unless this one is cached. Raises: DataError.

        All three tables are brought into the cache at once.
        """
        if not self.available():
            nasbench201.fetch(self.progress)

    def splits(self, seed: int, train_limit: int | None, validation_limit: int | None) -> Splits:
        """Return parts without images; seed and limits change nothing.

        Raises: DataError if the table is not in the cache.
        """
        meta, folder = cache.read_meta(self.name), cache.folder(self.name)
        if meta is None:
            hint = "Fetch it: nngpt data pull nasbench201"
            raise DataError("is not in the cache", where=f"data set {self.name}", hint=hint)
        none = Part(folder / "train_x.npy", folder / "train_y.npy")
        level = (0.5,) * self.shape[0]
        return Splits(
            *(self.name, self.classes, self.shape, level, level, none, none, none),
            class_names=self.class_names,
            digest=meta.digest,
        )


def create(root: Path | None = None, *, options: Options) -> CellTable:
    """Create a table of NAS-Bench-201; there are no files of one's own.

    Raises: DataError if a folder is given.
    """
    if root is not None:
        raise DataError("its tables come from a package", where="task.root", hint="Leave it out")
    return CellTable(options.table)
