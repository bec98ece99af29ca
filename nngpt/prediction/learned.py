"""Growing all experts from a history of runs: those for familiar places, and those for others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nngpt import __version__
from nngpt.errors import UserError
from nngpt.prediction import expert, features, groups, targets, transforms
from nngpt.prediction.expert import Expert
from nngpt.prediction.places import facts
from nngpt.prediction.runs import History, Run
from nngpt.records import canonical_json

HORIZONS = (0, 1, 2, 3, 5, 10, 20)
"""After so many epochs there is an expert."""

FOLDS = 10

Matrix = NDArray[np.float64]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Learned:
    """All that a predictor is.

    Attributes:
        familiar: experts that know the place, by epochs.
        strange: experts for places never seen, by epochs.
        places: names of the places, by the numbers that familiar experts know them by.
        transforms: features of each transform, by name.
        card: what it was made from, when, and how.
    """

    familiar: dict[int, Expert]
    strange: dict[int, Expert]
    places: tuple[str, ...]
    transforms: dict[str, tuple[float, ...]]
    card: dict[str, Any]


class Table:
    """Runs as rows of numbers.

    Attributes:
        runs: the n runs.
        places: names of their places, sorted.
        place_numbers: the number of each run's place [n].
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
        """What an expert after `epochs` epochs sees [n, features]; the place comes last."""
        early = [_early(run, epochs) for run in self.runs]
        columns = [self._static, np.array(early).reshape(len(self.runs), -1)]
        return np.column_stack([*columns, self.place_numbers] if with_place else columns)


def learn(history: History, progress: Progress, horizons: Sequence[int] = HORIZONS) -> Learned:
    """Grow a predictor from runs of `targets.EPOCHS` epochs.

    Args:
        progress: told what is done next.

    Raises:
        UserError: all networks are of one family, so that nothing can be learned about others.
    """
    families = groups.by_family(history.runs, history.codes)
    if len(set(families)) < 2:
        raise UserError(
            f"all {len(history.runs)} long runs are of one family of networks",
            hint="Import more of LEMUR: nngpt lemur pull",
        )
    table = Table(history)
    truth = {"best": targets.best(table.runs), "stop": targets.stop(table.runs)}
    by_family = groups.folds(families, FOLDS)
    by_place = groups.folds(groups.by_place(history.runs), len(table.places))
    familiar, strange = {}, {}
    for epochs in horizons:
        progress(f"after {epochs} epochs")
        so_far = targets.best_so_far(table.runs, epochs)
        known = table.inputs(epochs, with_place=True)
        familiar[epochs] = expert.learn(epochs, known, truth, so_far, known.shape[1] - 1, by_family)
        if by_place.max() > 0:
            strange[epochs] = expert.learn(epochs, known[:, :-1], truth, so_far, None, by_place)
    found = {name: transforms.features(text) for name, text in sorted(history.transforms.items())}
    return Learned(familiar, strange, table.places, found, _card(history, horizons))


def data_hash(history: History) -> str:
    """SHA-256 of everything that a predictor learns from."""
    digest = hashlib.sha256()
    for run in history.runs:
        parts = [run.network, str(run.place), dict(run.hyperparameters), run.transform]
        digest.update(canonical_json(parts).encode())
        digest.update(np.array(run.accuracies).astype("<f8").tobytes())
    for sources in (history.codes, history.transforms):
        digest.update(canonical_json(dict(sorted(sources.items()))).encode())
    return digest.hexdigest()


def _early(run: Run, epochs: int) -> list[float]:
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
