"""Read stored trials back as LEMUR's statistics files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, Select, exists, select, text
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.export_selection import ResolvedSelection
from nngpt.store.lemur.queries import GROUP, among, stored_settings
from nngpt.store.lemur.records import Experiment
from nngpt.store.lemur.trial_format import rebuild_trial
from nngpt.store.lemur_tables import LemurEmpty, LemurExtra

_CHUNK = 20_000
_place = attrgetter(*GROUP)
_Trials = list[dict[str, Any]]
_File = tuple[Experiment, int, _Trials]


def read_statistics_files(session: Session, chosen: ResolvedSelection) -> Iterator[_File]:
    """Yield (experiment, epoch, trials best first) of stored files, empty ones last."""
    chunk: list[Row[Any]] = []
    for _, rows in groupby(session.execute(_stat(chosen)).yield_per(_CHUNK), _place):
        chunk += rows
        if len(chunk) >= _CHUNK:
            yield from _rebuilt(session, chunk)
            chunk = []
    yield from _rebuilt(session, chunk)
    for row in session.execute(_empty(chosen)):
        yield _experiment(row), row.epoch, []


def _stat(chosen: ResolvedSelection) -> Select[Any]:
    stat = lemur.stat.c
    place = [stat[name] for name in GROUP]
    values = (stat.id, stat.prm, stat.accuracy, stat.duration)
    # Equal trials keep the order in which they were stored, as in LEMUR.
    order = (stat.accuracy.desc(), text("stat.rowid"))
    return select(*place, *values).where(*chosen.rows).order_by(*place, *order)


def _empty(chosen: ResolvedSelection) -> Select[Any]:
    stat = lemur.stat.c
    filled = exists().where(*(stat[name] == getattr(LemurEmpty, name) for name in GROUP))
    columns = [getattr(LemurEmpty, name) for name in GROUP]
    return select(*columns).where(*chosen.empty, ~filled).order_by(*columns)


def _rebuilt(session: Session, rows: list[Row[Any]]) -> Iterator[_File]:
    settings = stored_settings(session, {row.prm for row in rows})
    extras = _extras(session, [row.id for row in rows])
    for _, group in groupby(rows, _place):
        trials = []
        for row in group:
            changed, lacks = extras.get(row.id, ({}, []))
            parameters = settings.get(row.prm, {})
            trial = rebuild_trial(row.prm, row.accuracy, row.duration, parameters, changed, lacks)
            trials.append(trial)
        yield _experiment(row), row.epoch, trials


def _extras(session: Session, ids: Iterable[str]) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Return what the rows cannot hold: (keys to set, hyperparameters to omit) by id."""
    query = select(LemurExtra.stat_id, LemurExtra.trial, LemurExtra.lacks)
    rows = session.execute(query.where(among(LemurExtra.stat_id, ids)))
    return {key: (json.loads(trial), json.loads(lacks or "[]")) for key, trial, lacks in rows}


def _experiment(row: Row[Any]) -> Experiment:
    return Experiment(row.task, row.dataset, row.metric, row.nn)
