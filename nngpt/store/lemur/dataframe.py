"""Trials as a pandas DataFrame with the columns of LEMUR's `ab.nn.api.data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nngpt.store import Store
from nngpt.store.lemur.mirror import Query, mirror_folder, trials
from nngpt.store.lemur.trial_columns import CODE, COLUMNS, read_columns


def data(
    path: Path | str | None = None,
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
    """Return LEMUR's trials, networks, transforms and hyperparameters as a pandas DataFrame.

    Differs from `ab.nn.api.data`: of several best trials only the one with the smallest id is
    returned; the order is fixed (task, dataset, metric, nn, epoch, best first); `nn_prefixes` is
    case-sensitive; an empty result has the same columns.

    Args:
        path: the database, or the folder that contains `nngpt.db`; None for the shared mirror.
        only_best_accuracy: return only the trial of highest accuracy of each task, dataset,
            metric, network and epoch.
        nn_prefixes: return only networks whose name begins with one of these.
        code: False omits the three code columns and reads no code.

    Returns:
        One row per trial, with the columns in `COLUMNS`. `accuracy` is 0…1, `duration` is in
        nanoseconds since training began, `prm` is a separate dict per row with typed values. Rows
        of one network share one code string. Code and hash are missing for metrics and transforms
        that LEMUR does not define.

    Raises: StoreError if the database is missing or cannot be read.
    """
    path = mirror_folder() if path is None else Path(path)
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
        columns = read_columns(session, trials(session, query), code)
    for name in CODE:
        if name in columns:
            # pandas' own strings might copy the code for each row: gigabytes.
            columns[name] = pd.Series(columns[name], dtype=object)
    return pd.DataFrame({name: columns[name] for name in COLUMNS if name in columns})
