"""Select the part of the mirror to export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.orm import Session

from nngpt.errors import UserError, nearest
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur.mirror import GROUP, among
from nngpt.store.lemur_rows import lemur_dataset
from nngpt.store.lemur_tables import LemurEmpty, LemurRun
from nngpt.store.tables import Epoch

_Conditions = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True)
class Selection:
    """The part of the LEMUR mirror to export; an empty selection means everything.

    Attributes:
        networks: export only these networks.
        dataset: export only statistics of this data set, and networks that have any.
        ours: export only statistics of nngpt's own runs, and their networks.
    """

    networks: tuple[str, ...] = ()
    dataset: str | None = None
    ours: bool = False

    @property
    def with_runs(self) -> bool:
        """True if device runs are exported, which `dataset` and `ours` exclude."""
        return self.dataset is None and not self.ours


@dataclass(frozen=True)
class ResolvedSelection:
    """Names and SQL conditions of the networks and trials to export.

    Attributes:
        networks, transforms, metrics: names to export.
        rows: conditions on `stat`.
        empty: conditions on `LemurEmpty`.
        files: estimated number of files.
    """

    networks: list[str]
    transforms: list[str]
    metrics: list[str]
    rows: _Conditions
    empty: _Conditions
    files: int


def resolve_selection(session: Session, selection: Selection) -> ResolvedSelection:
    """Look up the names and rows of the mirror that a selection for export means.

    Raises: UserError if a network or data set is unknown, or the selection is empty.
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
        raise UserError("nothing to export", hint="Select more networks or data sets")
    code = len(networks) + len(transforms) + len(metrics)
    files = _count_files(session, rows) + _count(session, LemurEmpty.nn, *empty)
    runs = _count(session, LemurRun.run_id) if selection.with_runs and not rows else 0
    return ResolvedSelection(
        sorted(networks), sorted(transforms), sorted(metrics), rows, empty, code + files + runs
    )


def _check(session: Session, selection: Selection) -> None:
    networks = {*selection.networks}
    if unknown := networks - _names(session, lemur.nn.c.name, among(lemur.nn.c.name, networks)):
        name = min(unknown)
        hint = nearest(name, _names(session, lemur.nn.c.name))
        raise UserError("no such network in the mirror", where=name, hint=hint)
    if selection.dataset is not None:
        known = _names(session, lemur.stat.c.dataset) | _names(session, LemurEmpty.dataset)
        if (name := lemur_dataset(selection.dataset)) not in known:
            hint = nearest(name, known)
            raise UserError("no statistics of this data set in the mirror", where=name, hint=hint)


def _conditions(selection: Selection) -> tuple[_Conditions, _Conditions]:
    """Return the conditions on `stat` and those on `LemurEmpty`."""
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


def _count_files(session: Session, rows: _Conditions) -> int:
    files = select(*(lemur.stat.c[name] for name in GROUP)).where(*rows).distinct().subquery()
    return session.scalar(select(func.count()).select_from(files)) or 0
