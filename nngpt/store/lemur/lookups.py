"""Look up many keys of the mirror in one SQL statement each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, select, text
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur_tables import LemurExtra


def among(column: SQLColumnExpression[Any], keys: Iterable[str]) -> ColumnElement[bool]:
    """Return the condition that a column equals one of the keys."""
    listed = text("SELECT value FROM json_each(:keys)").bindparams(keys=json.dumps(list(keys)))
    return column.in_(listed.columns(value=Text).scalar_subquery())


def existing_ids(session: Session, ids: Iterable[str]) -> set[str]:
    """Return the ids that are taken by rows of `stat`."""
    return set(session.scalars(select(lemur.stat.c.id).where(among(lemur.stat.c.id, ids))))


def stored_settings(session: Session, uids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the stored hyperparameters of these uids, by uid."""
    prm = lemur.prm.c
    found: dict[str, dict[str, Any]] = {}
    for uid, name, value in session.execute(
        select(prm.uid, prm.name, prm.value).where(among(prm.uid, uids))
    ):
        found.setdefault(uid, {})[name] = value
    # `prm` has no row for a uid without hyperparameters.
    bare = [uid for uid in uids if uid not in found]
    named = select(lemur.stat.c.prm).where(among(lemur.stat.c.prm, bare)).distinct()
    return {**{uid: {} for uid in session.scalars(named)}, **found}


def stored_extras(
    session: Session, ids: Iterable[str]
) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Return what LEMUR's tables cannot hold: (keys to set, hyperparameters to omit) by id."""
    query = select(LemurExtra.stat_id, LemurExtra.trial, LemurExtra.lacks)
    rows = session.execute(query.where(among(LemurExtra.stat_id, ids)))
    return {key: (json.loads(trial), json.loads(lacks or "[]")) for key, trial, lacks in rows}
