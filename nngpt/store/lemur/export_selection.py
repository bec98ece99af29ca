"""Which part of the mirror to export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.lookups import among
from nngpt.store.lemur_rows import lemur_dataset
from nngpt.store.lemur_tables import LemurEmpty, LemurRun
from nngpt.store.tables import Epoch


@dataclass(frozen=True)
class Selection:
    """What the user asks for; everything if nothing is given.

    Attributes:
        networks: only these.
        dataset: only statistics of this data set, and the networks that have any.
        ours: only statistics of our own runs, and the networks they are about.
    """

    networks: tuple[str, ...] = ()
    dataset: str | None = None
    ours: bool = False

    @property
    def with_runs(self) -> bool:
        """True if runs on devices belong to it: they are about no data set."""
        return self.dataset is None and not self.ours


@dataclass(frozen=True)
class Chosen:
    """What a selection comes to.

    Attributes:
        networks: names of those to export; so `transforms` and `metrics`.
        rows: conditions on `stat`.
        empty: conditions on `LemurEmpty`.
        files: how many files there will be, about.
    """

    networks: list[str]
    transforms: list[str]
    metrics: list[str]
    rows: tuple[ColumnElement[bool], ...]
    empty: tuple[ColumnElement[bool], ...]
    files: int


def choose(session: Session, selection: Selection) -> Chosen:
    """Look up what is selected.

    Raises:
        UserError: a network or data set is not here, or nothing is selected.
    """
    _check(session, selection)
    rows, empty = _conditions(selection)
    stat = lemur.stat.c
    if rows:
        networks = _names(session, stat.nn, *rows) | _names(session, LemurEmpty.nn, *empty)
        if selection.dataset is None and not selection.ours:
            networks |= {*selection.networks}
        transforms = _names(session, stat.transform, *rows)
        joined = _names(session, stat.metric, *rows) | _names(session, LemurEmpty.metric, *empty)
        metrics = {metric.strip() for names in joined for metric in names.split(",")}
    else:
        networks = _names(session, lemur.nn.c.name)
        transforms = _names(session, lemur.transform.c.name)
        metrics = _names(session, lemur.metric.c.name)
    if not networks:
        raise UserError("there is nothing to export", hint="Select less narrowly")
    code = len(networks) + len(transforms) + len(metrics)
    files = _count_files(session, rows) + _count(session, LemurEmpty.nn, *empty)
    runs = _count(session, LemurRun.run_id) if selection.with_runs and not rows else 0
    return Chosen(
        sorted(networks), sorted(transforms), sorted(metrics), rows, empty, code + files + runs
    )


def _check(session: Session, selection: Selection) -> None:
    networks = {*selection.networks}
    if unknown := networks - _names(session, lemur.nn.c.name, among(lemur.nn.c.name, networks)):
        name = min(unknown)
        hint = nearest(name, _names(session, lemur.nn.c.name))
        raise UserError("no such network here", where=name, hint=hint)
    if selection.dataset is not None:
        known = _names(session, lemur.stat.c.dataset) | _names(session, LemurEmpty.dataset)
        if (name := lemur_dataset(selection.dataset)) not in known:
            hint = nearest(name, known)
            raise UserError("no statistics of this data set here", where=name, hint=hint)


def _conditions(
    selection: Selection,
) -> tuple[tuple[ColumnElement[bool], ...], tuple[ColumnElement[bool], ...]]:
    """Conditions on `stat`, and on `LemurEmpty`."""
    rows: list[ColumnElement[bool]] = []
    empty: list[ColumnElement[bool]] = []
    if selection.networks:
        rows.append(among(lemur.stat.c.nn, selection.networks))
        empty.append(among(LemurEmpty.nn, selection.networks))
    if selection.dataset is not None:
        name = lemur_dataset(selection.dataset)
        rows.append(lemur.stat.c.dataset == name)
        empty.append(LemurEmpty.dataset == name)
    if selection.ours:
        rows.append(lemur.stat.c.id.in_(select(Epoch.stat_id)))
        empty.append(false())
    return tuple(rows), tuple(empty)


def _names(session: Session, column: Any, *conditions: ColumnElement[bool]) -> set[str]:
    query = select(column).where(column.is_not(None), *conditions).distinct()
    return {*session.scalars(query)}


def _count(session: Session, column: Any, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count(column)).where(*conditions)) or 0


def _count_files(session: Session, rows: tuple[ColumnElement[bool], ...]) -> int:
    stat = lemur.stat.c
    place = (stat.task, stat.dataset, stat.metric, stat.nn, stat.epoch)
    files = select(*place).where(*rows).distinct().subquery()
    return session.scalar(select(func.count()).select_from(files)) or 0
