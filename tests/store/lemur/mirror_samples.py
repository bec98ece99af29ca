"""A small mirror, made by inserting rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from store_samples import open_new

from nngpt.records import content_hash
from nngpt.store import Store
from nngpt.store.lemur_tables import LemurEmpty, LemurImport, metric, nn, prm, stat, transform

NETWORKS = {
    "AlexNet": "class Net:\n    depth = 8\n",
    "AlexNet-2f1c": "class Net:\n    depth = 9\n",
    "AlexNetX-77": "class Net:\n    depth = 10\n",
    "ga-aa": "class Net:\n    width = 1\n",
    "ga-bb": "class Net:\n\n    width  =  1\n",  # the same but for white space
    "rl-idle": "class Net: pass\n",  # never trained
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "u1": {"lr": 0.01, "batch": 64, "momentum": 1.0, "transform": "norm"},
    "u2": {"lr": 1e-05, "batch": 8, "transform": "default", "optimizer": "08"},
}
TRIALS = (
    # id, nn, dataset, epoch, accuracy, uid
    ("a1", "AlexNet", "cifar-10", 1, 0.50, "u1"),
    ("a2", "AlexNet", "cifar-10", 2, 0.60, "u1"),
    ("a3", "AlexNet", "cifar-10", 1, 0.55, "u2"),
    ("b1", "AlexNet-2f1c", "cifar-10", 1, 0.70, "u1"),
    ("b2", "AlexNet-2f1c", "cifar-10", 1, 0.70, "u2"),
    ("c1", "AlexNetX-77", "mnist", 5, 0.99, "u1"),
    ("d1", "ga-aa", "mnist", 1, None, "u1"),
    ("d2", "ga-aa", "mnist", 1, 0.10, "u2"),
    ("e1", "ga-bb", "cifar-10", 1, 0.30, "u1"),
)


def make_mirror(path: Path) -> Store:
    """Create a database with the rows above; the caller closes it."""
    store = open_new(path)
    with store.database.write() as session:
        add_networks(session, NETWORKS)
        session.execute(insert(metric), [_code("acc", "class Net: pass\n")])
        session.execute(insert(transform), [_code("norm", "def transform(norm): ...\n")])
        for uid, values in SETTINGS.items():
            rows = [{"uid": uid, "name": k, "value": v} for k, v in values.items()]
            session.execute(insert(prm), rows)
        session.execute(insert(stat), [_trial(*trial) for trial in TRIALS])
        place = {"task": "img-classification", "dataset": "svhn", "metric": "acc"}
        session.execute(insert(LemurEmpty), [{**place, "nn": "ga-aa", "epoch": 1}])
        session.execute(insert(LemurImport), [_import("a.whl", None), _import("b.whl", "2026")])
    return store


def add_networks(session: Any, networks: Mapping[str, str]) -> None:
    session.execute(insert(nn), [_code(name, code) for name, code in networks.items()])


def _code(name: str, code: str) -> dict[str, str]:
    return {"name": name, "code": code, "id": content_hash(code)}


def _trial(
    key: str, network: str, dataset: str, epoch: int, accuracy: float | None, uid: str
) -> dict[str, Any]:
    return {
        "id": key,
        "task": "img-classification",
        "dataset": dataset,
        "metric": "acc",
        "nn": network,
        "epoch": epoch,
        "accuracy": accuracy,
        "duration": 1_500_000_000 * epoch,
        "prm": uid,
        "transform": SETTINGS[uid]["transform"],
    }


def _import(source: str, finished: str | None) -> dict[str, Any]:
    report = '{"refused": {"count": 2}}' if finished else "{}"
    return {"source": source, "started": "2025", "finished": finished, "report": report}
