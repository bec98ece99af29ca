"""Read LEMUR's networks and their best recorded trials from the mirror in the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Subquery, func, select
from sqlalchemy.orm import Session

from nngpt.errors import StoreError, UserError, nearest
from nngpt.store import Store
from nngpt.store.lemur.mirror import family
from nngpt.store.lemur_rows import LEMUR_TASK
from nngpt.store.lemur_tables import LemurEmpty, nn, prm, stat

OWN_FAMILY = "nngpt"
"""Family of the networks that nngpt runs wrote; they are in LEMUR's tables too."""


@dataclass(frozen=True)
class BestTrial:
    """Best recorded trial of a network on one data set.

    Attributes:
        dataset: LEMUR's name of the data set, e.g. "cifar-10".
        accuracy: accuracy after `epoch` epochs, 0…1.
        epoch: epoch at which the accuracy was measured.
        settings: recorded hyperparameters, batch size and transform, by name.
    """

    dataset: str
    accuracy: float
    epoch: int
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LemurNetwork:
    """A network of the LEMUR mirror.

    Attributes:
        nn_id: LEMUR's hash of the code.
        tasks: LEMUR's names of the tasks with a recorded trial; empty if there is none.
        trials: best image-classification trial for each data set.
    """

    name: str
    nn_id: str
    code: str = field(repr=False)
    family: str
    tasks: frozenset[str] = frozenset()
    trials: Mapping[str, BestTrial] = field(default_factory=dict, repr=False)

    @property
    def classifies(self) -> bool:
        """True if the network has a trial on image classification, or no recorded trial at all."""
        return not self.tasks or LEMUR_TASK in self.tasks

    def best(self, dataset: str | None = None) -> BestTrial | None:
        """Return the best trial on a data set (LEMUR's name) or on any; None without a trial."""
        if dataset is not None:
            return self.trials.get(dataset)
        return max(self.trials.values(), key=lambda t: (t.accuracy, t.dataset), default=None)


def read_networks(store: Store, best_on: str | None = None) -> list[LemurNetwork]:
    """Return all networks of the LEMUR mirror for a corpus, sorted by name.

    Raises:
        StoreError: the mirror is empty.
        UserError: no network has a trial on the data set `best_on`.
    """
    with store.database.read() as session:
        rows = session.execute(select(nn.c.name, nn.c.id, nn.c.code).order_by(nn.c.name)).all()
        tasks, trials = _tasks(session), _best_trials(session)
    if not rows:
        fill = "Fill the mirror first: nngpt lemur pull"
        raise StoreError("the mirror holds no networks", where=str(store.path), hint=fill)
    known = {dataset for found in trials.values() for dataset in found}
    if best_on is not None and best_on not in known:
        hint = nearest(best_on, known) or "The mirror has no image-classification trials"
        raise UserError(f"no trial on the data set {best_on!r}", where="--best-on", hint=hint)
    return [
        LemurNetwork(name, nn_id, code, family(name), frozenset(tasks[name]), trials[name])
        for name, nn_id, code in rows
    ]


def _tasks(session: Session) -> dict[str, set[str]]:
    """Return the task names of each network; statistics files without trials count too."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table in (stat.c, LemurEmpty):
        for name, task in session.execute(select(table.nn, table.task).distinct()):
            found[name].add(task)
    return found


def _best_trials(session: Session) -> dict[str, dict[str, BestTrial]]:
    """Return the best trial for each network and data set; ties go to the earliest epoch."""
    best = _ranked()
    query = (
        select(best.c.nn, best.c.dataset, best.c.accuracy, best.c.epoch, prm.c.name, prm.c.value)
        .outerjoin(prm, prm.c.uid == best.c.prm)
        .where(best.c.place == 1)
        .order_by(best.c.nn, best.c.dataset, prm.c.name)
    )
    found: defaultdict[str, dict[str, BestTrial]] = defaultdict(dict)
    settings: dict[str, Any] = {}
    for name, dataset, accuracy, epoch, key, value in session.execute(query):
        if dataset not in found[name]:
            settings = {}
            found[name][dataset] = BestTrial(dataset, accuracy, epoch, settings)
        if key is not None:
            settings[key] = value
    return found


def _ranked() -> Subquery:
    """Return a query that ranks each network's trials on each data set by accuracy."""
    order: Sequence[Any] = (stat.c.accuracy.desc(), stat.c.epoch, stat.c.prm, stat.c.id)
    place = func.row_number().over(partition_by=(stat.c.nn, stat.c.dataset), order_by=order)
    columns = (stat.c.nn, stat.c.dataset, stat.c.accuracy, stat.c.epoch, stat.c.prm)
    ranked = select(*columns, place.label("place"))
    return ranked.where(stat.c.task == LEMUR_TASK, stat.c.accuracy.is_not(None)).subquery()
