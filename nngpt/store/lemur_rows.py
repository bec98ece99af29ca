"""Store a trained attempt of a run in LEMUR's tables: one `stat` row per epoch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, bindparam, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from nngpt.records import Evaluation, Task, canonical_json, content_hash
from nngpt.store import lemur_tables as lemur
from nngpt.store.tables import Attempt

LEMUR_TASK = "img-classification"
LEMUR_DATASETS = {"cifar10": "cifar-10", "cifar100": "cifar-100"}
"""Data sets that have another name in LEMUR."""

STAT_KEY = (
    *("transform", "prm", "task", "dataset", "metric", "nn"),
    *("epoch", "duration", "accuracy"),
)
"""Columns of `stat` that form LEMUR's row key, in LEMUR's order."""

# Constants: making a statement anew takes longer than SQLite needs for it.
_ADD = {
    table.name: insert(table).on_conflict_do_nothing()
    for table in (lemur.nn, lemur.metric, lemur.transform, lemur.prm)
}
_ADD_STAT = insert(lemur.stat)
_FIND_STAT = select(lemur.stat.c.id).where(lemur.stat.c.id == bindparam("own"))

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_FUNCTION = re.compile(r"^def transform\(", re.MULTILINE)
_COMPOSED = """\
import torch
import torchvision
from torchvision.transforms import v2
from torchvision.transforms import v2 as transforms

{source}

_composed = transform


def transform(norm):
    return _composed
"""


def add_stat(session: Session, attempt: Attempt, evaluation: Evaluation, task: Task) -> list[str]:
    """Write a trained attempt as rows of LEMUR's `stat`, one per epoch; return their ids."""
    assert attempt.source is not None
    network = f"nngpt-{attempt.content_hash}"
    _add_code(session, lemur.nn, network, attempt.source.code)
    # An import of LEMUR's data brings the code of its metrics and named transforms.
    _add_code(session, lemur.metric, task.metric, "")
    transform = _add_transform(session, str(attempt.transform))
    fixed = {
        "task": LEMUR_TASK,
        "dataset": lemur_dataset(task.dataset),
        "nn": network,
        "transform": transform,
        "metric": task.metric,
        "prm": _add_prm(session, attempt, transform),
    }
    ids, seconds = [], 0.0
    for result in evaluation.epochs:
        seconds += result.seconds
        row = {
            **fixed,
            "accuracy": result.accuracy,
            "epoch": result.epoch,
            "duration": round(seconds * 1e9),  # nanoseconds since the first epoch began
        }
        ids.append(_free_id(session, row, attempt))
        session.connection().execute(_ADD_STAT, {"id": ids[-1], **row})
    return ids


def lemur_dataset(name: str) -> str:
    """Return the data set's name for rows in LEMUR's tables, without `_`."""
    return LEMUR_DATASETS.get(name, name.replace("_", "-"))


def lemur_id(columns: list[Any]) -> str:
    """Return LEMUR's key of a row: md5 of the column values as a Python list without spaces."""
    return _md5("".join(str(columns).split()))


def _free_id(session: Session, row: Mapping[str, Any], attempt: Attempt) -> str:
    """Return LEMUR's key of a `stat` row, so that our rows are recognised when imported again."""
    own = lemur_id([row[name] for name in STAT_KEY])
    taken = session.connection().scalar(_FIND_STAT, {"own": own})
    # Another attempt with equal values, to the nanosecond, is practically impossible.
    return own if taken is None else _md5(canonical_json([row, attempt.id, attempt.created]))


def _add_code(session: Session, table: Table, name: str, code: str) -> None:
    values = {"name": name, "code": code, "id": content_hash(code)}
    session.connection().execute(_ADD[table.name], values)


def _add_transform(session: Session, transform: str) -> str:
    if _NAME.fullmatch(transform):
        _add_code(session, lemur.transform, transform, "")
        return transform
    name = f"nngpt-{content_hash(transform)}"
    code = transform if _FUNCTION.search(transform) else _COMPOSED.format(source=transform)
    _add_code(session, lemur.transform, name, code)
    return name


def _add_prm(session: Session, attempt: Attempt, transform: str) -> str:
    values = {
        **json.loads(attempt.hyperparameters or "{}"),
        "batch": attempt.batch_size,
        "transform": transform,
    }
    uid = _md5(canonical_json(values))
    rows = [{"uid": uid, "name": name, "value": value} for name, value in values.items()]
    session.connection().execute(_ADD[lemur.prm.name], rows)
    return uid


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
