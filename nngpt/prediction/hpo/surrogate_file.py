"""The file of the HPO engine `surrogate`: boosted trees for each number of epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nngpt import __version__
from nngpt.errors import UserError
from nngpt.files import cache_folder
from nngpt.prediction import groups, targets
from nngpt.prediction.boosting import Boosting, cross, quantile, spread_of, with_point
from nngpt.prediction.expert import LEVEL
from nngpt.prediction.hpo import surrogate
from nngpt.prediction.hpo.folds import COUNT
from nngpt.prediction.hpo.pools import Pool, pools
from nngpt.prediction.hpo.surrogate import FORESTS, Surrogate
from nngpt.prediction.hpo.trial_features import CATEGORIES, NAMES, TrialTable, Vocabulary, table
from nngpt.prediction.model_file import ModelFile, write_models
from nngpt.prediction.runs import History, data_hash

EPOCHS = (1, 5, 50)
"""Numbers of epochs after which LEMUR has many trials."""

_LEARNED = 5
"""Minimum number of trials in a pool to learn from."""

_INDEX = "hpo.json"
_VERSION = {"format": 1, "names": list(NAMES)}
_ACCURACY = Boosting(rounds=200, rate=0.06, leaves=31)
_PLACE = CATEGORIES[0]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class HorizonModel:
    """Models learned from trials that were judged after the same number of epochs.

    Attributes:
        scores: trees that score settings.
        value: trees for the accuracy.
        error: trees for the size of the accuracy's error.
        factor: half the width of a 90% interval for unseen components, in predicted errors.
    """

    scores: Surrogate
    value: lightgbm.Booster
    error: lightgbm.Booster
    factor: float

    def accuracies(self, inputs: Matrix) -> list[tuple[float, float, float]]:
        """Return the expected accuracy and the ends of its 90% interval for each row
        [n, len(NAMES)]."""
        point = np.clip(np.asarray(self.value.predict(inputs, num_threads=1)), 0, 1)
        reach = self.factor * spread_of(self.error, with_point(point, inputs))
        ends = (np.clip(point + sign * reach, 0, 1).tolist() for sign in (-1, 1))
        return list(zip(point.tolist(), *ends, strict=True))


def default_path() -> Path:
    """Return the path of the surrogate in the cache."""
    return cache_folder() / "hpo.zip"


def train(
    history: History, path: Path, progress: Callable[[str], None], epochs: Sequence[int] = EPOCHS
) -> dict[str, Any]:
    """Learn from all trials of a history, write the file atomically and return its card.

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
    vocabulary = Vocabulary.of([pool for found in kept.values() for pool in found])
    card = _card(history, kept)
    index: dict[str, Any] = {
        **_VERSION,
        "card": card,
        "words": [vocabulary.places, vocabulary.transforms],
        "sources": {name: history.transforms.get(name) for name in vocabulary.transforms},
        "factors": {},
    }

    def members() -> Iterator[tuple[str, lightgbm.Booster]]:
        for horizon, model in _models(history, kept, vocabulary, progress):
            index["factors"][horizon] = model.factor
            for number, trees in enumerate(model.scores.trees):
                yield f"{horizon}-score-{number}", trees
            yield f"{horizon}-value", model.value
            yield f"{horizon}-error", model.error

    write_models(path, _INDEX, index, members())
    return card


def _card(history: History, kept: Mapping[int, Sequence[Pool]]) -> dict[str, Any]:
    return {
        "nngpt": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_sha256": data_hash(history),
        "pools": {str(horizon): len(found) for horizon, found in kept.items()},
        "trials": {str(h): sum(len(p.runs) for p in found) for h, found in kept.items()},
    }


def _models(
    history: History,
    kept: Mapping[int, Sequence[Pool]],
    vocabulary: Vocabulary,
    progress: Callable[[str], None],
) -> Iterator[tuple[int, HorizonModel]]:
    """Fit the models for each number of epochs, one after the other."""
    networks = {pool.network for found in kept.values() for pool in found}
    components = groups.components({name: history.codes[name] for name in networks})
    for horizon, found in kept.items():
        progress(f"after {targets.epoch_count(horizon)}")
        rows = table(found, history.codes, history.transforms, vocabulary)
        own = [components[found[number].network] for number in rows.pools]
        yield horizon, _fit(rows, groups.folds(own, COUNT))


def _fit(rows: TrialTable, folds: NDArray[np.int64]) -> HorizonModel:
    def restore(raw: Vector, _rows: NDArray[np.bool_]) -> Vector:
        return np.clip(raw, 0, 1)

    truth = rows.accuracies
    crossed = cross(_ACCURACY, rows.inputs, truth, _PLACE, folds, restore, truth)
    errors = np.abs(crossed.points - truth)
    wider = with_point(crossed.points, rows.inputs)
    return HorizonModel(
        surrogate.learn(rows),
        _ACCURACY.fit(rows.inputs, truth, _PLACE),
        Boosting(rounds=150, rate=0.05, leaves=15, smallest=40).fit(wider, errors, _PLACE + 1),
        quantile(errors / crossed.spreads, LEVEL),
    )


class SurrogateFile:
    """A surrogate read from the file that `train` wrote.

    Attributes:
        path: path of the file.
        card: facts about the training: version, date, hash of the data, counts.
        vocabulary: places and transforms in the training data.
        sources: source of each transform, by name.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        keys = ("card", "words", "sources", "factors")
        self._file = ModelFile(path, "surrogate", "nngpt hpo train", _INDEX, _VERSION, keys)
        self.path, index = path, self._file.index
        self.card: dict[str, Any] = index["card"]
        self.vocabulary = Vocabulary(*(tuple(names) for names in index["words"]))
        self.sources = {name: text for name, text in index["sources"].items() if text is not None}
        self._factors = {int(horizon): factor for horizon, factor in index["factors"].items()}

    def at(self, epochs: int) -> tuple[int, HorizonModel]:
        """Return the largest trained number of epochs up to `epochs` (or the smallest trained one)
        and its models.

        Raises:
            UserError: the file is damaged.
        """
        fitting = [horizon for horizon in self._factors if horizon <= epochs]
        horizon = max(fitting, default=min(self._factors))
        names = [f"{horizon}-score-{number}" for number in range(FORESTS)]
        names += [f"{horizon}-value", f"{horizon}-error"]
        *scores, value, error = self._file.models(names)
        factor = float(self._factors[horizon])
        return horizon, HorizonModel(Surrogate(tuple(scores)), value, error, factor)
