"""Open the database of a folder as the LEMUR mirror."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import exists, select

from nngpt.errors import StoreError
from nngpt.files import DATABASE
from nngpt.store import Store
from nngpt.store.lemur_tables import nn

_HINT = "Fetch LEMUR: nngpt lemur pull"


def open_mirror(folder: Path) -> Store:
    """Open the database of a folder as the LEMUR mirror, which must contain networks.

    Raises:
        StoreError: there is no database, or no network in it.
    """
    path = folder / DATABASE
    if not os.access(path, os.F_OK):
        raise StoreError("no LEMUR mirror here", where=str(path), hint=_HINT)
    store = Store.open(path, create=False)
    with store.database.read() as session:
        filled = session.scalar(select(exists().select_from(nn)))
    if not filled:
        store.close()
        raise StoreError("the LEMUR mirror is empty", where=str(path), hint=_HINT)
    return store
