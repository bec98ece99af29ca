"""What `nngpt hpo` and `nngpt predictor` learn from: the mirror of LEMUR in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nngpt.cli.options import console
from nngpt.config import DATABASE
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.prediction.runs import History


def read_history(folder: Path, epochs: int = 1) -> History:
    """The runs of at least so many epochs in a folder's mirror.

    Raises:
        UserError: there is none.
    """
    from nngpt.prediction.runs import read_runs
    from nngpt.store.database import open_database

    path = folder / DATABASE
    if not path.exists():
        raise UserError("no mirror here", where=str(path), hint="Fetch LEMUR: nngpt lemur pull")
    database = open_database(path, create=False)
    try:
        return read_runs(database, epochs)
    finally:
        database.close()


def log(what: str) -> None:
    """Progress, on a terminal."""
    out = console(stderr=True)
    if out.is_terminal:
        out.print(f"{what} …", style="dim")
