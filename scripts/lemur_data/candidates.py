"""Networks of LEMUR that could be in the portfolio: short, self-contained, accurate, diverse."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sqlalchemy import select

from nngpt.config import SHIPPED
from nngpt.errors import DataError
from nngpt.files import write_file
from nngpt.prediction.code_features import NAMES, features
from nngpt.store.lemur.mirror import codes, family, hyperparameters, open_mirror
from nngpt.store.lemur_rows import LEMUR_TASK
from nngpt.store.lemur_tables import nn, stat

EPOCHS = 5
"""Trials after at most this many epochs count: the search trains for a few."""

_DATASETS = ("mnist", "cifar-10", "cifar-100", "svhn", "imagenette", "celeba-gender")
_LONGEST = 16_000
_POOL = re.compile(
    r"daptive(?:Avg|Max)Pool2d\(\s*(?:output_size\s*=\s*)?(?:\(\s*1\s*,\s*1\s*\)|1)\s*\)"
    r"|adaptive_(?:avg|max)_pool2d\([^)]*,\s*(?:\(1,\s*1\)|1)\)|\.mean\("
)
"""Pooling to one value per channel."""

_PARAMETERS, _MOST = NAMES.index("literal_parameters"), 6.5
_IMPORT = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)
_USUAL = {"lr": (1e-4, 0.1), "momentum": (0.0, 0.95), "dropout": (0.0, 0.5)}


@dataclass(frozen=True)
class KnownClassifier:
    """An image classifier of LEMUR with its records.

    Attributes:
        accuracies: highest recorded accuracy on each data set within `EPOCHS` epochs, 0…1.
        hyperparameters: those of the best such trial, within the usual ranges.
        score: mean percentile of its accuracies among all networks, 0…1.
    """

    name: str
    code: str
    family: str
    accuracies: Mapping[str, float]
    hyperparameters: Mapping[str, float]
    score: float


def read_classifiers(folder: Path, file: Path) -> list[KnownClassifier]:
    """Return what `classifiers` finds, kept in a file of JSON lines."""
    if not file.exists():
        found = classifiers(folder)
        write_file(file, (json.dumps(vars(one)).encode() + b"\n" for one in found))
    lines = file.read_text(encoding="utf-8").splitlines()
    return [KnownClassifier(**json.loads(line)) for line in lines]


def classifiers(folder: Path) -> list[KnownClassifier]:
    """Return LEMUR's short, self-contained classifiers that are no near-duplicates.

    The best come first, the families in turn.
    """
    with open_mirror(folder) as store, store.database.read() as session:
        columns = ("nn", "dataset", "accuracy", "prm")
        rows = select(*(stat.c[name] for name in columns)).where(
            stat.c.task == LEMUR_TASK,
            stat.c.metric == "acc",
            stat.c.epoch <= EPOCHS,
            stat.c.accuracy.between(0, 1),
            stat.c.dataset.in_(_DATASETS),
        )
        table = pd.DataFrame(session.execute(rows).all(), columns=columns)
        table = table.sort_values([*columns], kind="stable")
        best = table.groupby(["nn", "dataset"], sort=True).last().reset_index()
        best["place"] = best.groupby("dataset")["accuracy"].rank(pct=True)
        sources = codes(session, nn, best["nn"].unique())
        settings = hyperparameters(session, best["prm"].unique())
    kept = {name: code for name, code in sources.items() if _self_contained(code)}
    found = []
    for name, own in best[best["nn"].isin(kept)].groupby("nn", sort=True):
        top = own.sort_values(["place", "dataset"], kind="stable").iloc[-1]
        accuracies = {row.dataset: round(float(row.accuracy), 4) for row in own.itertuples()}
        values = _usual(settings.get(top.prm, {}))
        score = float(own["place"].mean())
        found.append(
            KnownClassifier(str(name), kept[name], family(str(name)), accuracies, values, score)
        )
    return list(_in_turn(_chosen(found)))


def _self_contained(code: str) -> bool:
    """Return True if a network's file is short and imports only torch and the standard library."""
    if len(code) > _LONGEST or "pretrained" in code:
        return False
    try:
        large = features(code)[_PARAMETERS] > _MOST
    except DataError:
        return False
    if large or not _POOL.search(code):
        return False  # without such a pool, the last layer would grow with the images
    return set(_IMPORT.findall(code)) <= sys.stdlib_module_names | {"torch"}


def _usual(given: Mapping[str, object]) -> dict[str, float]:
    found = {}
    for name, (low, high) in _USUAL.items():
        value = given.get(name)
        if isinstance(value, int | float):
            found[name] = float(f"{min(max(value, low), high):.4g}")
    return found


def _chosen(found: Sequence[KnownClassifier]) -> list[KnownClassifier]:
    """Return networks that are no near-duplicates, the best first: known to build, or by hand.

    The networks of the shipped corpora build on MNIST and CIFAR-10, and differ. Of all other
    families, which people made, the best one is taken.
    """
    builds = _networks_of_corpora()
    generators = {family(name) for name in builds}
    best, taken = [], set[str]()
    for one in sorted(found, key=lambda one: (-one.score, one.name)):
        if one.name in builds or (one.family not in generators and one.family not in taken):
            taken.add(one.family)
            best.append(one)
    return best


def _networks_of_corpora() -> set[str]:
    """Return the names of LEMUR's networks in the corpora that come with nngpt."""
    names = set()
    for file in SHIPPED.glob("*/*.jsonl.gz"):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            sources = [json.loads(line)["source"] for line in lines]
        found = (re.fullmatch(r"lemur:([\w.-]+)", source) for source in sources)
        names |= {match[1] for match in found if match}
    return names


def _in_turn(found: Sequence[KnownClassifier]) -> Iterator[KnownClassifier]:
    """Yield one network of each family in turn, the best first."""
    waiting: dict[str, list[KnownClassifier]] = defaultdict(list)
    for one in found:
        waiting[one.family].append(one)
    while waiting:
        for name in list(waiting):
            yield waiting[name].pop(0)
            if not waiting[name]:
                del waiting[name]
