"""Read the networks of the LEMUR mirror with their best accuracies."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from nngpt.errors import StoreError, nearest
from nngpt.novelty.dedup.collection import FoundNetwork
from nngpt.store import Store
from nngpt.store.lemur.family import family
from nngpt.store.lemur.query_check import check_column
from nngpt.store.lemur_tables import nn, stat


def read_mirror(
    store: Store, best_on: str | None = None, only: Sequence[str] = ()
) -> list[FoundNetwork]:
    """Return all networks, or those named in `only`, sorted by name.

    Args:
        best_on: take the accuracy from trials on this data set only.

    Raises:
        StoreError: the mirror has no network of such a name.
        UserError: the mirror has no trial on the data set `best_on`.
    """
    best = select(stat.c.nn, func.max(stat.c.accuracy).label("accuracy")).group_by(stat.c.nn)
    if best_on is not None:
        with store.database.read() as session:
            check_column(session, "dataset", best_on, "--best-on")
        best = best.where(stat.c.dataset == best_on)
    if only:
        best = best.where(stat.c.nn.in_(only))
    ranked = best.subquery()
    query = select(nn.c.name, nn.c.code, ranked.c.accuracy).order_by(nn.c.name)
    query = query.outerjoin(ranked, ranked.c.nn == nn.c.name)
    if only:
        query = query.where(nn.c.name.in_(only))
    source, parts = str(store.path), store.path.parts[1:]
    with store.database.read() as session:
        found = [
            FoundNetwork((*parts, name), 1, code, family(name), accuracy, source)
            for name, code, accuracy in session.execute(query)
        ]
    _check_names(store, found, only)
    return found


def _check_names(store: Store, found: Sequence[FoundNetwork], wanted: Sequence[str]) -> None:
    missing = sorted(set(wanted) - {one.parts[-1] for one in found})
    if not missing:
        return
    with store.database.read() as session:
        hint = close_name(missing[0], session.scalars(select(nn.c.name)).all())
    raise StoreError(f"no network {missing[0]!r}", where=str(store.path), hint=hint)


def close_name(name: str, known: Sequence[str]) -> str:
    """Return a hint with the nearest known name, or "" instead of a list of thousands."""
    hint = nearest(name, known)
    return hint if hint.startswith("Did") or len(known) < 10 else ""
