"""Rows that a trained attempt adds to LEMUR's tables."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

from store_samples import TASK, candidate, evaluation, start, write

from nngpt.records import Task, content_hash
from nngpt.store import Store

_SOURCE = "transform = v2.Compose([v2.Normalize((0.5,), (0.5,))])"


def _train(store: Store, name: str, transform: str, task: Task = TASK) -> None:
    with store.lease(start(store, name).id) as lease:
        [attempt] = write(lease)
        lease.parsed(attempt, candidate(transform=transform))
        lease.validated(attempt)
        lease.training(attempt)
        lease.trained(attempt, evaluation(0.25, 0.5), task)


def _rows(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


def test_one_stat_row_per_epoch(store: Store, path: Path) -> None:
    _train(store, "demo", "norm")
    key = candidate().content_hash
    columns = "epoch, accuracy, duration, task, dataset, nn, transform, metric"
    fixed = ("img-classification", "cifar-10", f"nngpt-{key}", "norm", "acc")
    assert _rows(path, f"SELECT {columns} FROM stat ORDER BY epoch") == [
        (1, 0.25, 1_500_000_000, *fixed),
        (2, 0.5, 3_000_000_000, *fixed),
    ]
    assert _rows(path, "SELECT name, code, id FROM nn") == [(f"nngpt-{key}", candidate().code, key)]
    assert _rows(path, "SELECT name FROM metric") == [("acc",)]
    epochs = "SELECT epoch, accuracy FROM nngpt_epoch WHERE stat_id IN (SELECT id FROM stat)"
    assert _rows(path, epochs) == [(1, 0.25), (2, 0.5)]


def test_parameters_keep_their_types_and_are_stored_once(store: Store, path: Path) -> None:
    _train(store, "one", "norm")
    _train(store, "two", "norm")
    assert _rows(path, "SELECT name, value FROM prm ORDER BY name") == [
        ("batch", 64),
        ("lr", 0.01),
        ("momentum", 0.9),
        ("transform", "norm"),
    ]
    assert _rows(path, "SELECT count(*), count(DISTINCT prm), count(DISTINCT nn) FROM stat") == [
        (4, 1, 1)
    ]


def test_transform_source_gets_a_name(store: Store, path: Path) -> None:
    _train(store, "demo", _SOURCE)
    name = f"nngpt-{content_hash(_SOURCE)}"
    [(stored, code)] = _rows(path, "SELECT name, code FROM transform")
    assert stored == name and _SOURCE in code
    lemurs: dict[str, Any] = {}
    exec(code, lemurs)  # LEMUR calls the function `transform` of the file
    assert lemurs["transform"](((0.5,), (0.5,))).transforms[0].mean == [0.5]
    assert _rows(path, "SELECT DISTINCT transform FROM stat") == [(name,)]
    assert _rows(path, "SELECT value FROM prm WHERE name = 'transform'") == [(name,)]


def test_other_data_sets_keep_their_names(store: Store, path: Path) -> None:
    _train(store, "demo", "norm", dataclasses.replace(TASK, dataset="mnist"))
    assert _rows(path, "SELECT DISTINCT dataset FROM stat") == [("mnist",)]
