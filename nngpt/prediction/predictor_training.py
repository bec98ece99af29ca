"""Training of the predictor: experts for the places of a history of runs, and for new places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nngpt import __version__
from nngpt.errors import UserError
from nngpt.prediction import expert, features, groups, targets, transform_features
from nngpt.prediction.expert import Expert
from nngpt.prediction.places import facts
from nngpt.prediction.runs import History, TrainingRun, data_hash

HORIZONS = (0, 1, 2, 3, 5, 10, 20)
"""Numbers of known epochs for which there is an expert."""

FOLDS = 10

Matrix = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class TrainedPredictor:
    """A predictor, ready to be written to a file.

    Attributes:
        familiar: experts for places that were learned from, by number of known epochs.
        strange: experts for new places, by number of known epochs.
        places: names of the places; the position is the number of the place.
        transforms: features of each transform, by name.
        card: facts about the training: version, date, hash of the data, settings.
    """

    familiar: dict[int, Expert]
    strange: dict[int, Expert]
    places: tuple[str, ...]
    transforms: dict[str, tuple[float, ...]]
    card: dict[str, Any]


class RunTable:
    """Feature rows of runs.

    Attributes:
        runs: the n runs.
        places: sorted names of their places.
        place_numbers: index of each run's place [n].
    """

    def __init__(self, history: History, with_code: bool = True) -> None:
        self.runs = history.runs
        self.places = tuple(sorted({str(run.place) for run in self.runs}))
        rows = [features.static(run, history.codes, history.transforms) for run in self.runs]
        self._static = np.array(rows)
        if not with_code:
            self._static = np.delete(self._static, features.CODE, axis=1)
        numbers = {name: number for number, name in enumerate(self.places)}
        self.place_numbers = np.array([numbers[str(run.place)] for run in self.runs])

    def inputs(self, epochs: int, with_place: bool) -> Matrix:
        """Return the inputs of an expert for `epochs` known epochs [n, features]; the number of
        the place is the last column."""
        early = [_early(run, epochs) for run in self.runs]
        columns = [self._static, np.array(early).reshape(len(self.runs), -1)]
        return np.column_stack([*columns, self.place_numbers] if with_place else columns)


def train(
    history: History, progress: Progress, horizons: Sequence[int] = HORIZONS
) -> TrainedPredictor:
    """Train a predictor on runs of `targets.EPOCHS` epochs.

    Args:
        progress: called with a line before each step.
        horizons: numbers of known epochs.

    Raises:
        UserError: all networks are of one family, so intervals cannot be calibrated.
    """
    families = groups.by_family(history.runs, history.codes)
    if len(set(families)) < 2:
        raise UserError(
            f"all {len(history.runs)} long runs are of one family of networks",
            hint="Import more of LEMUR: nngpt lemur pull",
        )
    table = RunTable(history)
    truth = {"best": targets.best(table.runs), "stop": targets.stop(table.runs)}
    by_family = groups.folds(families, FOLDS)
    by_place = groups.folds(groups.by_place(history.runs), len(table.places))
    familiar, strange = {}, {}
    for epochs in horizons:
        progress(f"after {targets.epoch_count(epochs)}")
        so_far = targets.best_so_far(table.runs, epochs)
        known = table.inputs(epochs, with_place=True)
        familiar[epochs] = expert.learn(epochs, known, truth, so_far, known.shape[1] - 1, by_family)
        if by_place.max() > 0:
            strange[epochs] = expert.learn(epochs, known[:, :-1], truth, so_far, None, by_place)
    found = {
        name: transform_features.features(text) for name, text in sorted(history.transforms.items())
    }
    return TrainedPredictor(familiar, strange, table.places, found, _card(history, horizons))


def _early(run: TrainingRun, epochs: int) -> list[float]:
    """Return features of a run's first epochs; those that it lacks are NaN."""
    missing = (np.nan,) * max(0, epochs - len(run.accuracies))
    return features.early((*run.accuracies, *missing), facts(run.place.dataset).chance, epochs)


def _card(history: History, horizons: Sequence[int]) -> dict[str, Any]:
    return {
        "nngpt": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_sha256": data_hash(history),
        "runs": len(history.runs),
        "networks": len(history.codes),
        "families": len(set(groups.by_family(history.runs, history.codes))),
        "places": dict(sorted(Counter(str(run.place) for run in history.runs).items())),
        "epochs": targets.EPOCHS,
        "level": expert.LEVEL,
        "horizons": list(horizons),
        "boosting": {"familiar": vars(expert.FAMILIAR), "strange": vars(expert.STRANGE)},
    }
