"""Training runs from the mirror of LEMUR: settings, and the accuracy after each epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.prediction.places import Place
from nngpt.records import canonical_json
from nngpt.store.database import open_database
from nngpt.store.lemur.importer import imported
from nngpt.store.lemur.mirror import codes, hyperparameters
from nngpt.store.lemur_tables import nn, stat, transform

if TYPE_CHECKING:
    import pandas as pd

_RUN = ["task", "dataset", "metric", "nn", "prm", "transform"]


@dataclass(frozen=True)
class TrainingRun:
    """One training of a network with one set of hyperparameters.

    Attributes:
        network: name of the network.
        hyperparameters: hyperparameters by their names in LEMUR, without the transform.
        transform: name of the transform; None if there is none.
        accuracies: accuracy after each epoch from the first on, 0…1; NaN if not recorded.
    """

    network: str
    place: Place
    hyperparameters: Mapping[str, int | float | str]
    transform: str | None
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class History:
    """Recorded training runs in a fixed order, and sources of their networks and transforms.

    Attributes:
        sources: what was imported into the mirror, such as `nn-dataset 2.1.2`.
    """

    runs: tuple[TrainingRun, ...]
    codes: Mapping[str, str]
    transforms: Mapping[str, str]
    sources: tuple[str, ...] = ()


def read_history(folder: Path, least: int = 1) -> History:
    """Read LEMUR's training runs of at least `least` epochs from the mirror in a folder.

    If there are several trials of one run after the same epoch, the most accurate one counts. Runs
    with accuracies outside 0…1 or without their first epoch are left out.

    Raises: UserError if there is no mirror, or it has no such run.
    """
    import pandas as pd  # slow, and predictions do not need it

    path = folder / DATABASE
    if not path.exists():
        raise UserError("no mirror here", where=str(path), hint="Fetch LEMUR: nngpt lemur pull")
    with closing(open_database(path, create=False)) as database, database.read() as session:
        columns = [stat.c[name] for name in (*_RUN, "epoch", "accuracy")]
        trained = select(stat.c.nn).where(stat.c.epoch >= least).distinct()
        rows = session.execute(select(*columns).where(stat.c.nn.in_(trained)))
        table = pd.DataFrame(rows.all(), columns=[*_RUN, "epoch", "accuracy"])
        longest = table.groupby(_RUN, dropna=False)["epoch"].transform("max")
        table = table[longest >= least]
        parameters = {
            uid: {name: value for name, value in found.items() if name != "transform"}
            for uid, found in hyperparameters(session, table["prm"].unique()).items()
        }
        sources = codes(session, nn, table["nn"].unique())
        transforms = codes(session, transform, table["transform"].unique())
        imports = imported(session)
    runs = _runs(table, parameters)
    if not runs:
        what = f"no run of {least} or more epochs to learn from"
        raise UserError(what, where=str(path), hint="Import LEMUR first: nngpt lemur pull")
    return History(tuple(runs), sources, transforms, imports)


def data_hash(history: History) -> str:
    """Return the SHA-256 of a history of runs: of everything that a model learns from."""
    digest = hashlib.sha256()
    for run in history.runs:
        parts = [run.network, str(run.place), dict(run.hyperparameters), run.transform]
        digest.update(canonical_json(parts).encode())
        digest.update(np.array(run.accuracies).astype("<f8").tobytes())
    for sources in (history.codes, history.transforms):
        digest.update(canonical_json(dict(sorted(sources.items()))).encode())
    return digest.hexdigest()


def _runs(
    table: pd.DataFrame, parameters: Mapping[str, Mapping[str, int | float | str]]
) -> list[TrainingRun]:
    """Return the runs of a table with one row for each trial and epoch."""
    table = table.sort_values([*_RUN, "epoch", "accuracy"], kind="stable", na_position="first")
    numbers = table.groupby(_RUN, sort=False, dropna=False).ngroup().to_numpy()
    epochs = table["epoch"].to_numpy()
    accuracies = table["accuracy"].to_numpy(dtype=float)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    names = table[_RUN].iloc[starts].itertuples(index=False)
    ends = np.append(starts, len(table))[1:]
    found = []
    for name, start, end in zip(names, starts, ends, strict=True):
        curve = np.full(epochs[end - 1], np.nan)
        curve[epochs[start:end] - 1] = accuracies[start:end]
        if np.isfinite(curve[0]) and np.nanmin(curve) >= 0 and np.nanmax(curve) <= 1:
            place = Place(name.task, name.dataset, name.metric)
            chosen = name.transform if isinstance(name.transform, str) else None
            settings = parameters.get(name.prm, {})
            found.append(TrainingRun(name.nn, place, settings, chosen, tuple(curve.tolist())))
    return found
