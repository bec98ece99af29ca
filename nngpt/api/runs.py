"""A run from Python: its best network, its attempts as a data frame, its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt.files import write_file
from nngpt.reports.analysis.best import best_of
from nngpt.reports.analysis.rows import (
    AttemptRow,
    Place,
    attempt_row,
    dataset_of,
    read_places,
    read_rows,
)
from nngpt.reports.pages import render_table
from nngpt.reports.tables.runs import leaderboard_sheet
from nngpt.store import RunRecord, Store
from nngpt.store.folder import find_run, open_runs

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = [column.name for column in fields(AttemptRow)]
_SHOWN = 5


@dataclass(frozen=True)
class Network:
    """A network of a run.

    Attributes:
        attempt: its number.
        accuracy: validation accuracy, 0…1; `low` and `high` are the ends of its 95% interval.
        parameters: number of trainable parameters.
        code: Python file that defines `class Net`.
        hyperparameters: a value for each of its hyperparameters.
        transform: a transform's name, or its source for `torchvision.transforms.v2`.
        batch: batch size of its training.
    """

    attempt: int
    accuracy: float | None
    low: float | None
    high: float | None
    parameters: int | None
    code: str = field(repr=False)
    hyperparameters: Mapping[str, float]
    transform: str
    batch: int

    def save(self, path: str | Path) -> Path:
        """Write the code to a file and return its path. Raises: UserError."""
        write_file(Path(path), [self.code.encode()])
        return Path(path)


@dataclass(frozen=True)
class Run:
    """A run of the loop, read from its database whenever it is asked.

    Attributes:
        folder: folder of the database.
        number: number of the run in it.
        name: name of the run.
        dataset: name of its data set, or path of its folder of images.
    """

    folder: Path
    number: int
    name: str
    dataset: str

    @classmethod
    def open(cls, folder: str | Path = "runs", run: str | int | None = None) -> Run:
        """Open a run of a folder by name or number, the newest without one. Raises: StoreError."""
        with open_runs(Path(folder)) as store:
            found = find_run(store, None if run is None else str(run))
        return cls(Path(folder), found.id, found.name, dataset_of(found.config))

    @property
    def status(self) -> str:
        """ "active" (also if it was stopped or killed), "done" or "archived"."""
        with self._opened() as (_, record):
            return record.status

    @property
    def best(self) -> Network | None:
        """The most accurate admitted network, None if there is none."""
        with self._opened() as (store, record):
            attempt = best_of(store, record)
            if attempt is None or attempt.candidate is None:
                return None
            row, candidate = attempt_row(record, attempt), attempt.candidate
        return Network(
            attempt=attempt.id,
            accuracy=row.accuracy,
            low=row.low,
            high=row.high,
            parameters=row.parameters,
            code=candidate.code,
            hyperparameters=dict(candidate.hyperparameters),
            transform=candidate.transform,
            batch=candidate.batch,
        )

    def attempts(self) -> pd.DataFrame:
        """Return all attempts, one per row; `nngpt.AttemptRow` describes the columns."""
        import pandas as pd

        with self._opened() as (store, record):
            rows = read_rows(store, record)
        return pd.DataFrame([asdict(row) for row in rows], columns=_COLUMNS)

    def leaderboard(self) -> pd.DataFrame:
        """Return the trained networks, best first, with `rank` and `front` beside the columns."""
        import pandas as pd

        rows = [{"rank": p.rank, **asdict(p.row), "front": p.front} for p in self._places()]
        return pd.DataFrame(rows, columns=["rank", *_COLUMNS, "front"])

    def report(self, out: str | Path | None = None) -> Path:
        """Write a page with figures and tables, and return its path. Raises: UserError.

        Args:
            out: folder of the report; by default below `reports/` in the run's folder.
        """
        from nngpt.cycle.reporting import report_folder, write_report

        target = Path(out) if out else None
        with self._opened() as (store, record):
            target = target or report_folder(self.folder, record)
            return write_report(store, record, self.folder, target, print).page

    def codes(self) -> dict[str, str]:
        """Return the code of each admitted network, by names such as "attempt 7"."""
        with self._opened() as (store, record):
            admitted = store.admitted(record.id)
        return {f"attempt {a.id}": a.candidate.code for a in admitted if a.candidate is not None}

    def _repr_html_(self) -> str:
        places, status = self._places(), self.status
        title = f"Run {self.number}: {self.name} ({status}), {self.dataset}"
        return render_table(leaderboard_sheet(places, _SHOWN, title))

    def _places(self) -> list[Place]:
        with self._opened() as (store, record):
            return read_places(store, [record])

    @contextmanager
    def _opened(self) -> Iterator[tuple[Store, RunRecord]]:
        with open_runs(self.folder) as store:
            yield store, store.run(self.number)
