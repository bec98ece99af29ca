"""Training runs out of the mirror: what was trained, and its accuracy after each epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sqlalchemy import select

from nngpt.errors import UserError
from nngpt.prediction.places import Place
from nngpt.store.database import Database
from nngpt.store.lemur.queries import codes, hyperparameters
from nngpt.store.lemur_tables import nn, stat, transform

_RUN = ["task", "dataset", "metric", "nn", "prm", "transform"]


@dataclass(frozen=True)
class Run:
    """One network trained with one set of hyperparameters.

    Attributes:
        network: its name, or the file it is in.
        place: where it was judged.
        hyperparameters: as LEMUR has them, without the transform.
        transform: the transform's name, None if there is none.
        accuracies: after each epoch from the first on, 0…1; NaN where an epoch was not recorded.
    """

    network: str
    place: Place
    hyperparameters: Mapping[str, int | float | str]
    transform: str | None
    accuracies: tuple[float, ...] = ()


@dataclass(frozen=True)
class History:
    """Runs, with the code of what they trained.

    Attributes:
        runs: in an order that leaves nothing to chance.
        codes: source of each network, by name.
        transforms: source of each transform, by name.
    """

    runs: tuple[Run, ...]
    codes: Mapping[str, str]
    transforms: Mapping[str, str]


def read_runs(database: Database, first: int, last: int | None = None) -> History:
    """The runs whose last epoch is `first` or more, and `last` or less.

    Of several trials of one run after the same epoch the most accurate counts. A run whose
    accuracies leave 0…1 (they are broken, or no accuracies) is left out, as is one without its
    first epoch.

    Raises:
        UserError: there are none.
    """
    with database.read() as session:
        columns = [stat.c[name] for name in (*_RUN, "epoch", "accuracy")]
        trained = select(stat.c.nn).where(stat.c.epoch >= first).distinct()
        rows = session.execute(select(*columns).where(stat.c.nn.in_(trained)))
        table = pd.DataFrame(rows.all(), columns=[*_RUN, "epoch", "accuracy"])
        longest = table.groupby(_RUN, dropna=False)["epoch"].transform("max")
        table = table[longest.between(first, last or np.inf)]
        parameters = {
            uid: {name: value for name, value in found.items() if name != "transform"}
            for uid, found in hyperparameters(session, table["prm"].unique()).items()
        }
        sources = codes(session, nn, table["nn"].unique())
        transforms = codes(session, transform, table["transform"].unique())
    runs = _runs(table, parameters)
    if not runs:
        raise UserError(
            f"no run of {first} or more epochs to learn from",
            where=str(database.path),
            hint="Import LEMUR first: nngpt lemur pull",
        )
    return History(tuple(runs), sources, transforms)


def _runs(
    table: pd.DataFrame, parameters: Mapping[str, Mapping[str, int | float | str]]
) -> list[Run]:
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
            transform_name = name.transform if isinstance(name.transform, str) else None
            found.append(
                Run(
                    name.nn,
                    place,
                    parameters.get(name.prm, {}),
                    transform_name,
                    tuple(curve.tolist()),
                )
            )
    return found
