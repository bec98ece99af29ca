"""The engine `surrogate` as a file: scores and expected accuracies by number of epochs."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt import __version__
from nngpt.config import cache_folder
from nngpt.errors import UserError
from nngpt.files import publish, scratch
from nngpt.prediction import groups
from nngpt.prediction.boosting import Boosting, cross, quantile, spread_of, with_point
from nngpt.prediction.expert import LEVEL
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.folds import COUNT
from nngpt.prediction.hpo.pools import pools
from nngpt.prediction.hpo.rows import CATEGORIES, NAMES, Rows, Vocabulary, rows
from nngpt.prediction.hpo.surrogate import Surrogate
from nngpt.prediction.learned import data_hash
from nngpt.prediction.runs import History

EPOCHS = (1, 5, 50)
"""After so many epochs LEMUR has many trials."""

FORMAT = 1
_LEARNED = 5
_HINT = "Make it anew: nngpt hpo train"
_DAMAGES = (OSError, zipfile.BadZipFile, zlib.error, KeyError, ValueError, RuntimeError)
_ACCURACY = Boosting(rounds=200, rate=0.06, leaves=31)
_PLACE = CATEGORIES[0]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """Accuracies after some epochs, each with an interval of level 90% [n]."""

    value: Vector
    low: Vector
    high: Vector


@dataclass(frozen=True)
class Stage:
    """What is known of trials that were judged after the same number of epochs.

    Attributes:
        scores: which settings suit a network.
        value: trees for the accuracy.
        error: trees for the size of its error.
        factor: so many of these hold 90% of trials of unseen components.
    """

    scores: Surrogate
    value: lightgbm.Booster
    error: lightgbm.Booster
    factor: float

    def expected(self, inputs: Matrix) -> Expected:
        """Accuracies of rows [n, len(NAMES)]."""
        point = np.clip(np.asarray(self.value.predict(inputs, num_threads=1)), 0, 1)
        reach = self.factor * spread_of(self.error, with_point(point, inputs))
        return Expected(point, np.clip(point - reach, 0, 1), np.clip(point + reach, 0, 1))


def default_path() -> Path:
    """Where it lies unless one says otherwise."""
    return cache_folder() / "hpo.zip"


def train(
    history: History, path: Path, progress: Callable[[str], None], epochs: Sequence[int] = EPOCHS
) -> dict[str, Any]:
    """Learn from all trials of a history and write the file in one step; returns its card.

    Raises:
        UserError: there are too few pools of trials.
    """
    known = {horizon: pools(history, horizon, _LEARNED) for horizon in epochs}
    kept = {horizon: found for horizon, found in known.items() if len(found) >= 2}
    if not kept:
        raise UserError(
            f"no two networks have {_LEARNED} trials or more after {', '.join(map(str, epochs))} "
            "epochs",
            hint="Import more of LEMUR: nngpt lemur pull",
        )
    words = Vocabulary.of([pool for found in kept.values() for pool in found])
    parts = groups.components(
        {p.network: history.codes[p.network] for f in kept.values() for p in f}
    )
    card = {
        "nngpt": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_sha256": data_hash(history),
        "pools": {str(horizon): len(found) for horizon, found in kept.items()},
        "trials": {str(h): sum(len(p.runs) for p in found) for h, found in kept.items()},
    }
    index: dict[str, Any] = {
        "format": FORMAT,
        "names": NAMES,
        "card": card,
        "words": [words.places, words.transforms],
        "sources": {name: history.transforms.get(name) for name in words.transforms},
        "factors": {},
    }
    with scratch(path) as folder:
        draft = folder / path.name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for horizon, found in kept.items():
                progress(f"after {horizon} epochs")
                table = rows(found, history.codes, history.transforms, words)
                components = [parts[pool.network] for pool in found]
                stage = _learn(table, groups.folds([components[n] for n in table.pools], COUNT))
                index["factors"][horizon] = stage.factor
                for name, trees in _members(stage):
                    file.writestr(f"{horizon}-{name}.txt", trees.model_to_string())
            file.writestr("hpo.json", json.dumps(index))
        publish(draft, path)
    return card


def _learn(table: Rows, folds: NDArray[np.int64]) -> Stage:
    def restore(raw: Vector, _rows: NDArray[np.bool_]) -> Vector:
        return np.clip(raw, 0, 1)

    crossed = cross(
        _ACCURACY, table.inputs, table.accuracies, _PLACE, folds, restore, table.accuracies
    )
    errors = np.abs(crossed.points - table.accuracies)
    wider = with_point(crossed.points, table.inputs)
    return Stage(
        surrogate.learn(table),
        _ACCURACY.fit(table.inputs, table.accuracies, _PLACE),
        Boosting(rounds=150, rate=0.05, leaves=15, smallest=40).fit(wider, errors, _PLACE + 1),
        quantile(errors / crossed.spreads, LEVEL),
    )


def _members(stage: Stage) -> list[tuple[str, lightgbm.Booster]]:
    scores = [(f"score-{n}", trees) for n, trees in enumerate(stage.scores.trees)]
    return [*scores, ("value", stage.value), ("error", stage.error)]


class SurrogateFile:
    """The file that `train` writes.

    Attributes:
        path: the file.
        card: what it was made from, and when.
        words: places and transforms that it knows.
        sources: source of each transform.

    Raises:
        UserError: there is none, or it is none of ours, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._bytes = path.read_bytes()
        except FileNotFoundError:
            raise UserError(
                "there is no surrogate", where=str(path), hint="Make one: nngpt hpo train"
            ) from None
        index = self._read_index()
        if index.get("format") != FORMAT or index.get("names") != list(NAMES):
            raise UserError("is a surrogate of another version", where=str(path), hint=_HINT)
        self.card: dict[str, Any] = index["card"]
        self.words = Vocabulary(*(tuple(names) for names in index["words"]))
        self.sources = {name: text for name, text in index["sources"].items() if text is not None}
        self._factors = {int(horizon): factor for horizon, factor in index["factors"].items()}

    def stage(self, epochs: int) -> tuple[int, Stage]:
        """For the most epochs that are not more than `epochs`, or the fewest there are."""
        fitting = [horizon for horizon in self._factors if horizon <= epochs]
        horizon = max(fitting, default=min(self._factors))
        try:
            with zipfile.ZipFile(io.BytesIO(self._bytes)) as file:
                names = [n for n in sorted(file.namelist()) if n.startswith(f"{horizon}-score-")]
                trees = [
                    lightgbm.Booster(model_str=file.read(name).decode())
                    for name in (*names, f"{horizon}-value.txt", f"{horizon}-error.txt")
                ]
        except (*_DAMAGES, lightgbm.basic.LightGBMError) as error:
            raise self._damaged(error) from None
        *scores, value, error_trees = trees
        return horizon, Stage(
            Surrogate(tuple(scores)), value, error_trees, float(self._factors[horizon])
        )

    def _read_index(self) -> dict[str, Any]:
        try:
            with zipfile.ZipFile(io.BytesIO(self._bytes)) as file:
                index = json.loads(file.read("hpo.json"))
        except _DAMAGES as error:
            raise self._damaged(error) from None
        return index if isinstance(index, dict) else {}

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"is no surrogate, or damaged ({error})", where=str(self.path), hint=_HINT)
