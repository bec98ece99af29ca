"""A trained attempt as rows of LEMUR's tables: one `stat` row per epoch."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from nngpt.records import Evaluation, Task, canonical_json, content_hash
from nngpt.store import lemur_tables as lemur
from nngpt.store.tables import Attempt

LEMUR_TASK = "img-classification"
LEMUR_DATASETS = {"cifar10": "cifar-10", "cifar100": "cifar-100"}
"""Data sets that LEMUR names otherwise than we do."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def add_stat(session: Session, attempt: Attempt, evaluation: Evaluation, task: Task) -> list[str]:
    """Write the network, its settings and its curve. Returns the `stat` ids, one per epoch."""
    assert attempt.source is not None
    network = f"nngpt-{attempt.content_hash}"
    _add_code(session, lemur.nn, network, attempt.source.code)
    # The code of LEMUR's own metrics and named transforms comes with LEMUR's data.
    _add_code(session, lemur.metric, task.metric, "")
    transform = _add_transform(session, str(attempt.transform))
    fixed = {
        "task": LEMUR_TASK,
        "dataset": LEMUR_DATASETS.get(task.dataset, task.dataset),
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
            "duration": round(seconds * 1e9),  # LEMUR counts nanoseconds from the first epoch on
        }
        ids.append(_md5([row, attempt.id, attempt.created]))
        session.execute(insert(lemur.stat).values(id=ids[-1], **row))
    return ids


def _add_code(session: Session, table: Table, name: str, code: str) -> None:
    values = {"name": name, "code": code, "id": content_hash(code)}
    session.execute(insert(table).values(values).on_conflict_do_nothing())


def _add_transform(session: Session, transform: str) -> str:
    if _NAME.fullmatch(transform):
        _add_code(session, lemur.transform, transform, "")
        return transform
    name = f"nngpt-{content_hash(transform)}"
    _add_code(session, lemur.transform, name, transform)
    return name


def _add_prm(session: Session, attempt: Attempt, transform: str) -> str:
    values = {
        **json.loads(attempt.hyperparameters or "{}"),
        "batch": attempt.batch_size,
        "transform": transform,
    }
    uid = _md5(values)
    rows = [{"uid": uid, "name": name, "value": value} for name, value in values.items()]
    session.execute(insert(lemur.prm).values(rows).on_conflict_do_nothing())
    return uid


def _md5(value: Any) -> str:
    text = canonical_json(value)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
