"""Reads what a corpus needs from the LEMUR mirror: networks, and their best trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from nngpt.errors import StoreError, UserError, nearest
from nngpt.store import Store
from nngpt.store.lemur.families import family
from nngpt.store.lemur_rows import LEMUR_TASK
from nngpt.store.lemur_tables import nn, prm, stat
from nngpt.store.tables import LemurEmpty

OWN_FAMILY = "nngpt"
"""Networks that our own runs wrote are in LEMUR's tables too, under names that begin so."""


@dataclass(frozen=True)
class Trial:
    """The best recorded trial of a network on one data set.

    Attributes:
        dataset: LEMUR's name of it, e.g. "cifar-10".
        accuracy: 0…1, after epoch `epoch`.
        settings: recorded values by name: hyperparameters, batch, transform.
    """

    dataset: str
    accuracy: float
    epoch: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A network of the mirror.

    Attributes:
        tasks: LEMUR's names of the tasks for which it was tried; empty if there is no record.
        trials: its best image-classification trials by data set.
    """

    name: str
    nn_id: str
    code: str = field(repr=False)
    family: str
    tasks: frozenset[str] = frozenset()
    trials: Mapping[str, Trial] = field(default_factory=dict, repr=False)

    @property
    def classifies(self) -> bool:
        """True if it was tried on image classification, or on nothing that is on record."""
        return not self.tasks or LEMUR_TASK in self.tasks

    def best(self, dataset: str | None = None) -> Trial | None:
        """The best trial on a data set (LEMUR's name), or on any; None if there is none."""
        if dataset is not None:
            return self.trials.get(dataset)
        return max(self.trials.values(), key=lambda t: (t.accuracy, t.dataset), default=None)


def read_networks(store: Store, best_on: str | None = None) -> list[Recorded]:
    """All networks of the mirror, by name.

    Raises:
        StoreError: there is no network.
        UserError: no network has a trial on the data set `best_on`.
    """
    with store.database.read() as session:
        rows = session.execute(select(nn.c.name, nn.c.id, nn.c.code).order_by(nn.c.name)).all()
        tasks = _tasks(session)
        trials = _best_trials(session)
    if not rows:
        fill = "Fill the mirror first: nngpt lemur pull"
        raise StoreError("no networks in it", where=str(store.path), hint=fill)
    known = {dataset for found in trials.values() for dataset in found}
    if best_on is not None and best_on not in known:
        hint = nearest(best_on, known) or "The mirror has no image-classification trials"
        raise UserError(f"no trial on the data set {best_on!r}", where="--best-on", hint=hint)
    return [
        Recorded(name, nn_id, code, family(name), frozenset(tasks[name]), trials[name])
        for name, nn_id, code in rows
    ]


def _tasks(session: Session) -> dict[str, set[str]]:
    """Task names by network; a statistics file that lists no trial names its task, too."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table in (stat.c, LemurEmpty):
        for name, task in session.execute(select(table.nn, table.task).distinct()):
            found[name].add(task)
    return found


def _best_trials(session: Session) -> dict[str, dict[str, Trial]]:
    """Best trials by network and data set; of equally good ones the earliest epoch's."""
    best = _ranked()
    query = (
        select(best.c.nn, best.c.dataset, best.c.accuracy, best.c.epoch, prm.c.name, prm.c.value)
        .outerjoin(prm, prm.c.uid == best.c.prm)
        .where(best.c.place == 1)
        .order_by(best.c.nn, best.c.dataset, prm.c.name)
    )
    found: defaultdict[str, dict[str, Trial]] = defaultdict(dict)
    settings: dict[str, Any] = {}
    for name, dataset, accuracy, epoch, key, value in session.execute(query):
        if dataset not in found[name]:
            settings = {}
            found[name][dataset] = Trial(dataset, accuracy, epoch, settings)
        if key is not None:
            settings[key] = value
    return found


def _ranked() -> Subquery:
    order: Sequence[Any] = (stat.c.accuracy.desc(), stat.c.epoch, stat.c.prm, stat.c.id)
    place = func.row_number().over(partition_by=(stat.c.nn, stat.c.dataset), order_by=order)
    return (
        select(
            stat.c.nn,
            stat.c.dataset,
            stat.c.accuracy,
            stat.c.epoch,
            stat.c.prm,
            place.label("place"),
        )
        .where(stat.c.task == LEMUR_TASK, stat.c.accuracy.is_not(None))
        .subquery()
    )
