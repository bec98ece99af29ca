"""Write trials as rows of `stat`, `prm` and `train_stat`, and what these cannot hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.sqlite import insert as insert_once
from sqlalchemy.orm import Session

from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.queries import among, stored_settings
from nngpt.store.lemur.records import ImportReport, StatFile, TrialRecord
from nngpt.store.lemur.table_writer import KnownNetworks
from nngpt.store.lemur.trial_format import parameter_difference
from nngpt.store.lemur_tables import LemurEmpty, LemurExtra

_TABLES: tuple[Any, ...] = (lemur.stat, lemur.prm, lemur.train_stat, LemurExtra)
_Batch = dict[Any, list[dict[str, Any]]]
"""Rows to insert, by table, in the order in which the tables refer to each other."""


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
