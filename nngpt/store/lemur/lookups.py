"""What the mirror holds for many keys at once: one statement each, however many keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Text, select, text
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur_tables import LemurExtra


def among(column: SQLColumnExpression[Any], keys: Iterable[str]) -> ColumnElement[bool]:
    """The condition that a column is one of these keys."""
    listed = text("SELECT value FROM json_each(:keys)").bindparams(keys=json.dumps(list(keys)))
    return column.in_(listed.columns(value=Text).scalar_subquery())


def ids_here(session: Session, ids: Iterable[str]) -> set[str]:
    """Those of these keys of `stat` rows that are taken."""
    return set(session.scalars(select(lemur.stat.c.id).where(among(lemur.stat.c.id, ids))))


def settings_here(session: Session, uids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The hyperparameters by uid, for those of these uids that are here."""
    prm = lemur.prm.c
    found: dict[str, dict[str, Any]] = {}
    for uid, name, value in session.execute(
        select(prm.uid, prm.name, prm.value).where(among(prm.uid, uids))
    ):
        found.setdefault(uid, {})[name] = value
    # A uid whose trials have no hyperparameters is in no row of `prm`.
    bare = [uid for uid in uids if uid not in found]
    named = select(lemur.stat.c.prm).where(among(lemur.stat.c.prm, bare)).distinct()
    return {**{uid: {} for uid in session.scalars(named)}, **found}


def extras_here(
    session: Session, ids: Iterable[str]
) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """What the rows of these trials cannot hold: keys to set, hyperparameters to leave out."""
    query = select(LemurExtra.stat_id, LemurExtra.trial, LemurExtra.lacks)
    rows = session.execute(query.where(among(LemurExtra.stat_id, ids)))
    return {key: (json.loads(trial), json.loads(lacks or "[]")) for key, trial, lacks in rows}
