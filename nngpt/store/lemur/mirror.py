"""The LEMUR mirror: open it, query its trials, code and hyperparameters, and check queries' names.

A trial is a row of LEMUR's table `stat`: one network, trained with one set of hyperparameters,
after one epoch. Each function takes an open session, so that several see the same state. Code is
read only on request.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    SQLColumnExpression,
    Table,
    Text,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from nngpt.errors import StoreError, UserError, nearest
from nngpt.files import DATABASE, cache_folder
from nngpt.store import Store
from nngpt.store.database import Database
from nngpt.store.lemur_tables import nn, prm, stat

_HINT = "Fetch LEMUR: nngpt lemur pull"
_LAST_CHARACTER = "\U0010ffff"
Columns = ReadOnlyColumnCollection[str, Any]
TrialRow = Row[Any]
"""id, task, dataset, metric, nn, epoch, accuracy (0…1), duration (ns), prm (uid), transform."""

Hyperparameters = dict[str, int | float | str]
_LISTED = 30
"""Maximum number of known names listed in a message."""


RUNS = Path("runs")
"""Folder of nngpt's own runs by default; before 2026-12 it held the mirror, too."""


def shared_folder() -> Path:
    """Return the folder of the LEMUR mirror in the cache, which all folders of runs share."""
    return cache_folder() / "lemur"


def mirror_folder(given: Path | None = None) -> Path:
    """Return the folder of the LEMUR mirror: the given one, else the shared one.

    The default folder of runs takes precedence if its database holds a mirror, as in earlier
    versions; it is also read if there is no shared mirror.
    """
    if given is not None:
        return given
    runs, shared = RUNS / DATABASE, shared_folder()
    if runs.exists() and (_holds_mirror(runs) or not (shared / DATABASE).exists()):
        return RUNS
    return shared


def _holds_mirror(path: Path) -> bool:
    """Return True if a database has networks that no run of nngpt wrote."""
    query = "SELECT EXISTS (SELECT 1 FROM nn WHERE name NOT LIKE 'nngpt-%')"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            return bool(database.execute(query).fetchone()[0])
    except sqlite3.Error:  # damaged, or something else: opening it reports that
        return False


def open_mirror(folder: Path) -> Store:
    """Open the database of a folder as the LEMUR mirror, which must contain networks.

    Raises: StoreError if there is no database, or no network in it.
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


GROUP = ("task", "dataset", "metric", "nn", "epoch")
"""Columns that trials of one statistics file have in common."""


_COLUMNS = ("id", *GROUP, "accuracy", "duration", "prm", "transform")


@dataclass(frozen=True)
class Query:
    """Filters, order and limit of a query for trials of the LEMUR mirror; None matches anything.

    Attributes:
        family: see the function `family`.
        epoch: number of epochs trained.
        min_accuracy: lowest accuracy, 0…1.
        content_hash: LEMUR's hash of the network's code.
        nn_prefixes: beginnings of network names; empty matches any name.
        best: return only the trial of highest accuracy of each (task, dataset, metric, nn, epoch);
            of equals the one with the smallest id.
        by_accuracy: order by accuracy, highest first, instead of by those five columns.
        limit: maximum number of trials, None for all.
    """

    task: str | None = None
    dataset: str | None = None
    metric: str | None = None
    nn: str | None = None
    family: str | None = None
    epoch: int | None = None
    min_accuracy: float | None = None
    content_hash: str | None = None
    nn_prefixes: tuple[str, ...] = ()
    best: bool = False
    by_accuracy: bool = False
    limit: int | None = None


def trials(session: Session, query: Query) -> list[TrialRow]:
    """Return the mirror's trials that match a query, in a deterministic order."""
    source, conditions = _source(query)
    order = [source[name] for name in GROUP if not query.by_accuracy]
    chosen = select(*(source[name] for name in _COLUMNS)).where(*conditions)
    return list(session.execute(chosen.order_by(*order, *_best(source)).limit(query.limit)))


def count(session: Session, query: Query) -> int:
    """Return the number of the mirror's trials that match a query, ignoring its limit."""
    source, conditions = _source(query)
    return session.scalar(select(func.count(source["id"])).where(*conditions)) or 0


def hyperparameters(session: Session, uids: Iterable[str | None]) -> dict[str, Hyperparameters]:
    """Return the hyperparameters of trials by uid, with their types."""
    wanted = sorted({uid for uid in uids if uid is not None})
    found: dict[str, Hyperparameters] = {}
    for uid, name, value in session.execute(select(prm).where(among(prm.c.uid, wanted))):
        found.setdefault(uid, {})[name] = value
    return found


def stored_settings(session: Session, uids: Iterable[str]) -> dict[str, Hyperparameters]:
    """Query the hyperparameters stored for each uid; {} if a uid has none."""
    found = hyperparameters(session, uids)
    # `prm` has no row for a uid without hyperparameters.
    bare = [uid for uid in uids if uid not in found]
    named = select(stat.c.prm).where(among(stat.c.prm, bare)).distinct()
    return {**{uid: {} for uid in session.scalars(named)}, **found}


def ids(session: Session, table: Table) -> dict[str, str]:
    """Query the hashes of LEMUR's networks, transforms or metrics by name."""
    return {row.name: row.id for row in session.execute(select(table.c.name, table.c.id))}


def codes(session: Session, table: Table, names: Iterable[str | None]) -> dict[str, str]:
    """Return the code of the mirror's networks, transforms or metrics with these names."""
    wanted = sorted({name for name in names if name is not None})
    found = select(table.c.name, table.c.code).where(among(table.c.name, wanted))
    return {row.name: row.code for row in session.execute(found)}


def find_by_hash(database: Database, content_hash: str) -> list[str]:
    """Return the sorted names of the mirror's networks with this content hash."""
    with database.read() as session:
        named = select(nn.c.name).where(nn.c.id == content_hash).order_by(nn.c.name)
        return list(session.scalars(named))


def among(column: SQLColumnExpression[Any], keys: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition of a LEMUR query that a column equals one of the keys."""
    listed = text("SELECT value FROM json_each(:keys)").bindparams(keys=json.dumps(list(keys)))
    return column.in_(listed.columns(value=Text).scalar_subquery())


def family(name: str) -> str:
    """Return the family by which queries group LEMUR's networks: `AlexNet` for `AlexNet-355f…`.

    LEMUR puts a hyphen after an architecture or generator and never inside its name: `ga`, `alt`,
    `ast`, `FractalNet`, `rag` and `rl` are generators of networks, all others are architectures
    made by hand. A network named by its hash alone is a family of its own.
    """
    return name.partition("-")[0] or name


def _of_family(name: ColumnElement[str], family: str) -> ColumnElement[bool]:
    """Return the SQL condition that a network belongs to a family, able to use an index."""
    # "." is the character after "-".
    return or_(name == family, (name >= f"{family}-") & (name < f"{family}."))


def _source(query: Query) -> tuple[Columns, list[ColumnElement[bool]]]:
    """Return the columns to select from and the conditions on the rows."""
    if not query.best:
        return stat.c, _conditions(query)
    place = func.row_number().over(
        partition_by=[stat.c[name] for name in GROUP], order_by=_best(stat.c)
    )
    wanted = [stat.c[name] for name in _COLUMNS]
    ranked = select(*wanted, place.label("place")).where(*_conditions(query)).subquery()
    return ranked.c, [ranked.c.place == 1]


def _best(source: Columns) -> tuple[ColumnElement[Any], ...]:
    return source["accuracy"].desc(), source["id"]


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    values = {name: getattr(query, name) for name in GROUP}
    conditions = [stat.c[name] == value for name, value in values.items() if value is not None]
    if query.family is not None:
        conditions.append(_of_family(stat.c.nn, query.family))
    if query.min_accuracy is not None:
        conditions.append(stat.c.accuracy >= query.min_accuracy)
    if query.content_hash is not None:
        named = select(nn.c.name).where(nn.c.id == query.content_hash)
        conditions.append(stat.c.nn.in_(named))
    if query.nn_prefixes:
        begins = (stat.c.nn.between(p, p + _LAST_CHARACTER) for p in query.nn_prefixes)
        conditions.append(or_(*begins))
    return conditions


def check_names(session: Session, query: Query) -> None:
    """Check that every name in a query for trials is in the LEMUR mirror.

    Raises: UserError if a name is unknown; the message suggests the nearest known name.
    """
    for option in ("task", "dataset", "metric"):
        check_column(session, option, getattr(query, option), f"--{option}")
    if query.nn is not None and not session.scalar(select(exists().where(nn.c.name == query.nn))):
        raise _unknown("network", query.nn, "--nn", _networks(session))
    if query.family is not None:
        members = _of_family(nn.c.name, query.family)
        if not session.scalar(select(exists().where(members))):
            families = sorted({family(name) for name in _networks(session)})
            raise _unknown("family", query.family, "--family", families)
    if query.content_hash is not None:
        _check_hash(session, query.content_hash)


def check_column(session: Session, column: str, value: str | None, where: str) -> None:
    """Check that trials have this value in a column of `stat`, or None. Raises: UserError."""
    there = stat.c[column] == value
    if value is not None and not session.scalar(select(exists().where(there))):
        known = session.scalars(select(stat.c[column]).distinct())
        title = {"dataset": "data set"}.get(column, column)
        raise _unknown(title, value, where, [name for name in known if name])


def _check_hash(session: Session, content_hash: str) -> None:
    if not session.scalar(select(exists().where(nn.c.id == content_hash))):
        raise UserError(
            f"no network has the content hash {content_hash!r}",
            where="--hash",
            hint="Give the md5 of the code without white space, as 32 hexadecimal digits",
        )


def _networks(session: Session) -> Sequence[str]:
    return session.scalars(select(nn.c.name)).all()


def _unknown(title: str, name: str, where: str, known: Sequence[str]) -> UserError:
    hint = nearest(name, known)
    if len(known) > _LISTED and not hint.startswith("Did"):
        hint = "`nngpt lemur stats` lists the families" if title == "family" else ""
    return UserError(f"no {title} {name!r} in the mirror", where=where, hint=hint)
