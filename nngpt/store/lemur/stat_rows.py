"""Trials as rows of `stat`, `prm` and `train_stat`: write them, and read them back as files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Row, Select, exists, insert, select, text
from sqlalchemy.dialects.sqlite import insert as insert_once
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.export_selection import ResolvedSelection
from nngpt.store.lemur.file_formats import parameter_difference, rebuild_trial
from nngpt.store.lemur.mirror import GROUP, among, stored_settings
from nngpt.store.lemur.records import Experiment, ImportReport, StatFile, TrialRecord
from nngpt.store.lemur.table_writer import KnownNetworks
from nngpt.store.lemur_tables import LemurEmpty, LemurExtra

_TABLES: tuple[Any, ...] = (lemur.stat, lemur.prm, lemur.train_stat, LemurExtra)
_Batch = dict[Any, list[dict[str, Any]]]
"""Rows to insert, by table, in the order in which the tables refer to each other."""

_CHUNK = 20_000
_place = attrgetter(*GROUP)
_Trials = list[dict[str, Any]]
_File = tuple[Experiment, int, _Trials]


class StatWriter:
    """Write trials as rows of LEMUR's tables; stored trials are never changed.

    LEMUR keeps one set of hyperparameters per `uid`, but its files do not always agree on it. The
    first trial of a uid defines them, and the others store their differences in `LemurExtra`, so a
    later trial never changes how an earlier one is exported.
    """

    def __init__(self, networks: KnownNetworks, report: ImportReport) -> None:
        self._networks, self._report = networks, report
        self._settings: dict[str, Mapping[str, Any]] = {}

    def write(self, session: Session, files: list[StatFile]) -> None:
        """Write the trials of a batch of statistics files."""
        files = [file for file in files if self._is_accepted(file)]
        trials = [trial for file in files for trial in file.trials]
        unknown = {trial.uid for trial in trials} - self._settings.keys()
        self._settings.update(stored_settings(session, unknown))
        ids = lemur.stat.c.id
        here = {*session.scalars(select(ids).where(among(ids, [trial.id for trial in trials])))}
        batch: _Batch = {table: [] for table in _TABLES}
        empty = []
        for file in files:
            place = {**asdict(file.experiment), "epoch": file.epoch}
            if not file.trials:
                empty.append(place)
            for trial in self._distinct(file):
                if trial.id not in here:
                    self._add(batch, trial, place)
        self._count(files, batch)
        self._report.empty.read += len(empty)
        for table, rows in batch.items():
            if rows:
                session.connection().execute(insert(table), rows)
        if empty:
            once = insert_once(LemurEmpty).on_conflict_do_nothing()
            self._report.empty.new += session.connection().execute(once, empty).rowcount

    def _is_accepted(self, file: StatFile) -> bool:
        reason = self._networks.refusal_reason(file.experiment.nn)
        if reason is not None:
            self._report.refused.add(file.path, reason)
        return reason is None

    def _distinct(self, file: StatFile) -> list[TrialRecord]:
        """Return the file's trials without duplicates."""
        first: dict[str, TrialRecord] = {}
        for trial in file.trials:
            other = first.setdefault(trial.id, trial)
            if other is trial:
                continue
            if _fingerprint(other) == _fingerprint(trial):
                self._report.duplicates.add(file.path, f"lists trial {trial.id} again")
            else:
                reason = f"a trial has the key {trial.id} of another; the first is kept"
                self._report.refused.add(file.path, reason)
        return list(first.values())

    def _add(self, batch: _Batch, trial: TrialRecord, place: Mapping[str, Any]) -> None:
        batch[lemur.stat].append(
            {
                **place,
                "id": trial.id,
                "accuracy": trial.accuracy,
                "duration": trial.duration,
                "transform": trial.transform,
                "prm": trial.uid,
            }
        )
        settings = self._settings.get(trial.uid)
        if settings is None:
            settings = self._settings[trial.uid] = trial.parameters
            self._report.settings.new += 1
            batch[lemur.prm] += (
                {"uid": trial.uid, "name": name, "value": value} for name, value in settings.items()
            )
        changed, lacks = parameter_difference(trial, settings)
        if changed or lacks:
            row = {"stat_id": trial.id, "trial": json.dumps(changed)}
            batch[LemurExtra].append({**row, "lacks": json.dumps(lacks) if lacks else None})
        if trial.measured is not None:
            batch[lemur.train_stat].append({"stat_id": trial.id, **trial.measured})

    def _count(self, files: list[StatFile], batch: _Batch) -> None:
        report = self._report
        report.files += len(files)
        report.rows.read += sum(len(file.trials) for file in files)
        report.rows.new += len(batch[lemur.stat])
        report.settings.read = len(self._settings)


def _fingerprint(trial: TrialRecord) -> str:
    """Return a string that is equal for trials with equal values in their files."""
    values = {**trial.parameters, **trial.extra, "": [trial.accuracy, trial.duration, trial.uid]}
    return json.dumps(values, sort_keys=True)


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
