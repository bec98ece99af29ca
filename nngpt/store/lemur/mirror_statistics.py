"""Count the contents of the mirror: imports, networks, families, trials."""

from __future__ import annotations

import json
import statistics
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nngpt.store.lemur.mirror import family
from nngpt.store.lemur_tables import LemurEmpty, LemurImport, Signature, nn, stat, transform

_AT_ONCE = 10_000


@dataclass(frozen=True)
class ImportRecord:
    """One run of `nngpt lemur import`.

    Attributes:
        started, finished: ISO 8601, UTC; `finished` is None during an import and if it was killed.
        refused: number of files that were not imported, or None if unknown.
    """

    source: str
    started: str
    finished: str | None
    refused: int | None


@dataclass(frozen=True)
class TrialsOfDataset:
    """Counts and accuracies of the mirror's trials on one data set with one metric.

    Attributes:
        networks: networks trained.
        runs: trainings: networks with one set of hyperparameters.
        rows: trials: runs after each recorded epoch.
        accuracies: rows with an accuracy; the sample size of `best` and `median`.
        best: highest accuracy, 0…1, or None.
        best_nn: the network that reached `best` (of equals the first by name).
        median: median accuracy of the rows, 0…1.
    """

    task: str
    dataset: str
    metric: str
    networks: int
    runs: int
    rows: int
    accuracies: int
    best: float | None
    best_nn: str | None
    median: float | None


@dataclass(frozen=True)
class MirrorStatistics:
    """Counts of the LEMUR mirror's contents.

    Attributes:
        networks: networks, including nngpt's own.
        distinct: networks that differ in more than white space.
        families: number of networks by family, largest first.
        datasets: trials by data set and metric, largest first.
        last_epochs: number of runs by their last recorded epoch, ascending.
        empty: statistics files that list no trial.
        signatures: networks with a MinHash signature.
    """

    imports: tuple[ImportRecord, ...]
    networks: int
    distinct: int
    transforms: int
    families: Mapping[str, int]
    datasets: tuple[TrialsOfDataset, ...]
    last_epochs: Mapping[int, int]
    empty: int
    signatures: int


def read_statistics(session: Session) -> MirrorStatistics:
    """Count the LEMUR mirror's contents; reads each trial once and no code."""
    names = list(session.scalars(select(nn.c.name)))
    tallies = _tallies(session)
    last_epochs = Counter(epoch for tally in tallies.values() for epoch in tally.runs.values())
    datasets = [_totals(*key, tally) for key, tally in tallies.items()]
    return MirrorStatistics(
        imports=tuple(_import_line(row) for row in session.scalars(select(LemurImport))),
        networks=len(names),
        distinct=_counted(session, func.count(nn.c.id.distinct())),
        transforms=_counted(session, func.count(transform.c.name)),
        families=dict(Counter(map(family, sorted(names))).most_common()),
        datasets=tuple(sorted(datasets, key=lambda one: -one.rows)),
        last_epochs=dict(sorted(last_epochs.items())),
        empty=_counted(session, func.count(LemurEmpty.nn)),
        signatures=_counted(session, func.count(Signature.nn)),
    )


@dataclass
class _Tally:
    """Counts of one data set; `runs` holds the last epoch by network and uid."""

    rows: int = 0
    runs: dict[tuple[str, str], int] = field(default_factory=dict)
    accuracies: array[float] = field(default_factory=lambda: array("d"))
    best: tuple[float, str] | None = None


def _tallies(session: Session) -> dict[tuple[str, str, str], _Tally]:
    # One pass in table order is faster than grouping in SQL, which sorts all trials.
    names = ("task", "dataset", "metric", "nn", "prm", "epoch", "accuracy")
    rows = session.execute(select(*(stat.c[name] for name in names)))
    tallies: dict[tuple[str, str, str], _Tally] = {}
    for task, dataset, metric, network, uid, epoch, accuracy in rows.yield_per(_AT_ONCE):
        tally = tallies.setdefault((task, dataset, metric), _Tally())
        tally.rows += 1
        tally.runs[network, uid] = max(epoch, tally.runs.get((network, uid), epoch))
        if accuracy is not None:
            tally.accuracies.append(accuracy)
            if tally.best is None or (-accuracy, network) < (-tally.best[0], tally.best[1]):
                tally.best = accuracy, network
    return tallies


def _totals(task: str, dataset: str, metric: str, tally: _Tally) -> TrialsOfDataset:
    best, best_nn = tally.best or (None, None)
    return TrialsOfDataset(
        task=task,
        dataset=dataset,
        metric=metric,
        networks=len({network for network, _ in tally.runs}),
        runs=len(tally.runs),
        rows=tally.rows,
        accuracies=len(tally.accuracies),
        best=best,
        best_nn=best_nn,
        median=statistics.median(tally.accuracies) if tally.accuracies else None,
    )


def _import_line(row: LemurImport) -> ImportRecord:
    refused = json.loads(row.report or "{}").get("refused")
    count = refused.get("count") if isinstance(refused, dict) else None
    return ImportRecord(row.source, row.started, row.finished, count)


def _counted(session: Session, what: Any) -> int:
    return session.scalar(select(what)) or 0
