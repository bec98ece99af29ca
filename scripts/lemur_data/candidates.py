"""Networks that could be in the portfolio: of LEMUR, layer lists of our corpus, and our own."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from nngpt.config import SHIPPED, Config
from nngpt.data.sources import cifar10
from nngpt.errors import DataError
from nngpt.files import write_file
from nngpt.generation.contract import make_reader
from nngpt.prediction.code_features import NAMES, features
from nngpt.records import Refusal
from nngpt.store.lemur.importer import PACKAGE
from nngpt.store.lemur.mirror import codes, family, hyperparameters, open_mirror
from nngpt.store.lemur_rows import LEMUR_TASK
from nngpt.store.lemur_tables import nn, stat

EPOCHS = 5
"""Trials after at most this many epochs count: the search trains for a few."""

SCORED = "cifar-10"
_LONGEST = 24_000
_POOL = re.compile(r"daptive_?(?:Avg|Max|avg|max)_?[Pp]ool2d\(|\.mean\(")
"""Pooling to a fixed size."""

_ENLARGED = r"_(?:\d{3}|[7-9]\d)"
"""Transforms that make images larger than 64 pixels: accuracies of another task."""

_PARAMETERS, _MOST = NAMES.index("literal_parameters"), 6.5
_IMPORT = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)
_USUAL = {"lr": (1e-4, 0.1), "momentum": (0.0, 0.95), "dropout": (0.0, 0.5)}

LEMUR, OURS = f"{PACKAGE.name} {PACKAGE.version}", "nngpt"
"""Sources of networks: LEMUR's package, and this project."""

_BSD = (
    *("AlexNet", "ConvNeXt", "DeepLabV3", "DenseNet", "EfficientNet", "FCN32s", "GoogLeNet"),
    *("InceptionV3", "LRASPP", "MNASNet", "MaxVit", "MobileNetV2", "MobileNetV3", "RegNet"),
    *("ResNet", "ShuffleNet", "SqueezeNet", "SwinTransformer", "VGG", "VisionTransformer"),
)
"""Beginnings of the families that LEMUR's LICENSE-BSD-NNs is about."""

_BEST = 12
"""Networks of each generator, and of each family that people made (a quarter as many)."""

_KEPT = (
    "rag-49574076ae0e39c976bd7bb79867ed4b",
    "rag-40a713628975ec4264cd80ce42569b17",
    "rag-07deead87aaf6ae2412ae16934d700fe",
    "rag-afbdb97b396acd67cefc28bc552e61e8",
    "alt-nn4-19fe97818e4cfac706ad5dc9aa08d111",
)
"""Networks that learned most in a few seconds in an earlier measurement of 240."""

_SETTINGS = {"lr": 0.05, "momentum": 0.9}
"""Hyperparameters of networks that LEMUR has no trials of."""

_RATE = 0.2
"""Of our own networks, chosen on CIFAR-10 (docs/lemur.md)."""

_LISTS = 24
_OWN = ((8, True), (16, True), (24, True), (16, False), (24, False), (32, False))
"""Width, and whether the first layer pools, of our own networks."""

_COUNTED = ("Conv", "BatchNorm", "Pool")
_CORPUS = SHIPPED / "smollm2-135m-lemur" / "features.jsonl.gz"


@dataclass(frozen=True)
class Known:
    """A network that could be in the portfolio.

    Attributes:
        source: where it comes from.
        licence: SPDX expression.
        accuracies: highest accuracy in LEMUR within `EPOCHS` epochs by data set, 0…1.
        hyperparameters: those of the best such trial, within the usual ranges.
        rate: highest learning rate of SGD in a search (`PortfolioNetwork.rate`).
    """

    name: str
    code: str
    family: str
    source: str
    licence: str
    accuracies: Mapping[str, float]
    hyperparameters: Mapping[str, float]
    rate: float | None = None

    @property
    def ours(self) -> bool:
        """True for networks that were written for this portfolio."""
        return self.source == OURS


def read_candidates(folder: Path, file: Path) -> list[Known]:
    """Return all networks to measure; what comes from LEMUR is kept in a file of JSON lines."""
    if not file.exists():
        found = classifiers(folder)
        write_file(file, (json.dumps(vars(one)).encode() + b"\n" for one in found))
    lines = file.read_text(encoding="utf-8").splitlines()
    return [*own_networks(), *(Known(**json.loads(line)) for line in lines), *layer_lists()]


def own_networks() -> list[Known]:
    """Return the small residual network that was written for the portfolio, in all widths."""
    code = Path(__file__).with_name("quick_network.py").read_text(encoding="utf-8")
    found = []
    for width, pool in _OWN:
        text = code.replace(
            "WIDTH = 16\nPOOL_FIRST = True\n", f"WIDTH = {width}\nPOOL_FIRST = {pool}\n"
        )
        assert f"WIDTH = {width}\nPOOL_FIRST = {pool}\n" in text
        name = f"quick-{width}" + ("" if pool else "-fine")
        found.append(Known(name, text, "quick", OURS, "MIT", {}, _SETTINGS, _RATE))
    return found


def layer_lists() -> list[Known]:
    """Return layer lists of the shipped corpus in nngpt's network: deep enough, and normalised."""
    settings = Config(prompt={"template": "tuned-features"})
    reader = make_reader(settings, cifar10.create(None))
    found = list[Known]()
    with gzip.open(_CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            layers = row["prefill"] + row["completion"]
            deep, normal, pools = (layers.count(f"{word}2d(") for word in _COUNTED)
            if not (deep >= 4 and normal >= deep - 1 and 2 <= pools <= 3):
                continue
            candidate = reader.read(row["completion"])
            assert not isinstance(candidate, Refusal), candidate
            name = f"list-{candidate.content_hash[:12]}"
            source = f"layers of nngpt's corpus ({row['source']}), from {LEMUR}"
            found.append(Known(name, candidate.code, "list", source, "MIT", {}, _SETTINGS))
    return found[:: max(1, len(found) // _LISTS)][:_LISTS]


def classifiers(folder: Path) -> list[Known]:
    """Return LEMUR's short, self-contained classifiers: the best, the families in turn."""
    trials = (
        (stat.c.task == LEMUR_TASK)
        & (stat.c.metric == "acc")
        & (stat.c.epoch <= EPOCHS)
        & stat.c.accuracy.between(0, 1)
        & ~stat.c.transform.regexp_match(_ENLARGED)
    )
    highest = func.max(stat.c.accuracy).label("accuracy")
    with open_mirror(folder) as store, store.database.read() as session:
        on_scored = select(stat.c.nn, highest).where(trials, stat.c.dataset == SCORED)
        scored = session.execute(on_scored.group_by(stat.c.nn)).all()
        names = [str(row.nn) for row in sorted(scored, key=lambda row: (-row.accuracy, row.nn))]
        families, taken, chosen = Counter(map(family, names)), Counter[str](), list[Known]()
        for name in names:
            kind = family(name)
            most = _BEST if families[kind] > 4 * _BEST else _BEST // 4
            if taken[kind] == most and name not in _KEPT:
                continue
            code = codes(session, nn, [name])[name]
            if not _self_contained(code):
                continue
            taken[kind] += name not in _KEPT
            columns = stat.c.dataset, highest, stat.c.prm
            own = select(*columns).where(trials, stat.c.nn == name).group_by(stat.c.dataset)
            best = {row.dataset: row for row in session.execute(own)}
            accuracies = {key: round(row.accuracy, 4) for key, row in sorted(best.items())}
            uid = best[SCORED].prm
            values = _usual(hyperparameters(session, [uid]).get(uid, {}))
            licence = "BSD-3-Clause" if kind.startswith(_BSD) else "MIT"
            chosen.append(Known(name, code, kind, LEMUR, licence, accuracies, values))
    return list(_in_turn(chosen))


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


def _in_turn(found: Sequence[Known]) -> Iterator[Known]:
    """Yield one network of each family in turn, the best first."""
    waiting: dict[str, list[Known]] = defaultdict(list)
    for one in found:
        waiting[one.family].append(one)
    while waiting:
        for name in list(waiting):
            yield waiting[name].pop(0)
            if not waiting[name]:
                del waiting[name]
