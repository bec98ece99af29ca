"""Trials as a pandas DataFrame, with the columns of LEMUR's `ab.nn.api.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nngpt.store import Store
from nngpt.store.lemur.queries import Query, trials
from nngpt.store.lemur.trial_columns import CODE, COLUMNS, columns_of


def data(
    path: Path | str,
    only_best_accuracy: bool = False,
    task: str | None = None,
    dataset: str | None = None,
    metric: str | None = None,
    nn: str | None = None,
    epoch: int | None = None,
    max_rows: int | None = None,
    nn_prefixes: Sequence[str] | None = None,
    code: bool = True,
) -> pd.DataFrame:
    """LEMUR's trials, each with the network, the transform and the hyperparameters.

    Differs from `ab.nn.api.data` in four ways: of several best trials only one is given (that
    of the smallest id); the order is always the same (task, dataset, metric, nn, epoch, then
    the best first); upper and lower case matter in `nn_prefixes`; and nothing found is an empty
    frame with these columns.

    Args:
        path: the database, or the folder that holds `nngpt.db`.
        only_best_accuracy: only the trial of highest accuracy of each task, dataset, metric,
            network and epoch.
        nn_prefixes: the network's name begins with one of them.
        code: False leaves out the three columns of code, and reads none.

    Returns:
        One row per trial, columns as in `COLUMNS`. `accuracy` is 0…1, `duration` nanoseconds
        since training began, `prm` a dict of the row's own whose values have their types. Rows
        of one network share one string of code. Code and hash of a metric or transform are
        missing where LEMUR has none of that name.

    Raises:
        StoreError: there is no such database, or it cannot be read.
    """
    path = Path(path)
    query = Query(
        task=task,
        dataset=dataset,
        metric=metric,
        nn=nn,
        epoch=epoch,
        nn_prefixes=tuple(nn_prefixes or ()),
        best=only_best_accuracy,
        limit=max_rows,
    )
    with (
        Store.open(path / "nngpt.db" if path.is_dir() else path, create=False) as store,
        store.database.read() as session,
    ):
        columns = columns_of(session, trials(session, query), code)
    for name in CODE:
        if name in columns:
            # As strings of pandas' own each row might get a copy of the code: gigabytes.
            columns[name] = pd.Series(columns[name], dtype=object)
    return pd.DataFrame({name: columns[name] for name in COLUMNS if name in columns})
