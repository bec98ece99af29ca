"""Training of the predictor: experts for the places of a history of runs, and for new places."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

from nngpt.errors import UserError
from nngpt.prediction import expert, features, groups, targets
from nngpt.prediction.arrays import Matrix
from nngpt.prediction.boosting import LEVEL
from nngpt.prediction.expert import Expert
from nngpt.prediction.model_file import training_facts, write_models
from nngpt.prediction.places import dataset_facts
from nngpt.prediction.predictor import FORMAT
from nngpt.prediction.runs import History, TrainingRun

HORIZONS = (0, 1, 2, 3, 5, 10, 20)
"""Numbers of known epochs for which there is an expert."""

FOLDS = 10

Progress = Callable[[str], None]


class RunTable:
    """Feature rows of n runs that the predictor learns from; `place_numbers` [n] index `places`."""

    def __init__(self, history: History, with_code: bool = True) -> None:
        self.runs = history.runs
        places = [str(run.place) for run in self.runs]
        names, self.place_numbers = np.unique(places, return_inverse=True)
        self.places: tuple[str, ...] = tuple(names.tolist())
        rows = [features.static(run, history.codes, history.transforms) for run in self.runs]
        self._static = np.array(rows)
        if not with_code:
            self._static = np.delete(self._static, features.CODE, axis=1)

    def inputs(self, epochs: int, with_place: bool) -> Matrix:
        """Return an expert's inputs [n, features]; `with_place` appends the place's number."""
        early = [_early(run, epochs) for run in self.runs]
        columns = [self._static, np.array(early).reshape(len(self.runs), -1)]
        return np.column_stack([*columns, self.place_numbers] if with_place else columns)


def train(
    history: History, path: Path, progress: Progress, horizons: Sequence[int] = HORIZONS
) -> dict[str, Any]:
    """Train the predictor on a history of runs, write its file, and return its card.

    The runs have `targets.EPOCHS` epochs, of which `horizons` epochs are known. The file is written
    atomically.

    Raises: UserError if all networks are of one family, so intervals cannot be calibrated.
    """
    families = groups.by_family(history.runs, history.codes)
    if len(set(families)) < 2:
        what = f"all {len(history.runs)} long runs are of one family of networks"
        raise UserError(what, hint="Import more of LEMUR: nngpt lemur pull")
    card = _card(history, len(set(families)), horizons)
    experts = _learn_experts(RunTable(history), families, progress, horizons)
    factors: dict[str, dict[int, dict[str, list[float | None]]]] = {"familiar": {}, "strange": {}}
    models: dict[str, lightgbm.Booster] = {}
    for (kind, epochs), found in experts.items():
        factors[kind][epochs] = {}
        for name, model in vars(found).items():
            # Too few runs give infinite factors, which JSON lacks.
            ends = (model.factor, model.ceiling)
            factors[kind][epochs][name] = [f if math.isfinite(f) else None for f in ends]
            models[f"{kind}-{epochs}-{name}-value"] = model.value
            models[f"{kind}-{epochs}-{name}-error"] = model.error
    sources = sorted(history.transforms.items())
    entries = {
        "card": card,
        "places": list(card["places"]),
        "transforms": {name: features.transform_features(text) for name, text in sources},
        "factors": factors,
    }
    write_models(path, FORMAT, entries, models)
    return card


def _learn_experts(
    table: RunTable, families: Sequence[str], progress: Progress, horizons: Sequence[int]
) -> dict[tuple[str, int], Expert]:
    """Return the experts by kind and known epochs; none for new places if there is only one."""
    truth = {"best": targets.best(table.runs), "stop": targets.stop(table.runs)}
    by_family = groups.folds(families, FOLDS)
    by_place = groups.folds([str(run.place) for run in table.runs], len(table.places))
    familiar, strange = {}, {}
    for number, epochs in enumerate(horizons, start=1):
        after = targets.epoch_count(epochs)
        progress(f"learning to predict after {after} ({number} of {len(horizons)})")
        so_far = targets.best_so_far(table.runs, epochs)
        known = table.inputs(epochs, with_place=True)
        category = known.shape[1] - 1
        familiar["familiar", epochs] = expert.learn(known, truth, so_far, category, by_family)
        if by_place.max() > 0:
            strange["strange", epochs] = expert.learn(known[:, :-1], truth, so_far, None, by_place)
    return familiar | strange


def _early(run: TrainingRun, epochs: int) -> list[float]:
    """Return features of a run's first epochs; those that it lacks are NaN."""
    missing = (np.nan,) * max(0, epochs - len(run.accuracies))
    return features.early(
        (*run.accuracies, *missing), dataset_facts(run.place.dataset).chance, epochs
    )


def _card(history: History, families: int, horizons: Sequence[int]) -> dict[str, Any]:
    return {
        **training_facts(history),
        "runs": len(history.runs),
        "networks": len(history.codes),
        "families": families,
        "places": dict(sorted(Counter(str(run.place) for run in history.runs).items())),
        "epochs": targets.EPOCHS,
        "level": LEVEL,
        "horizons": list(horizons),
        "boosting": {"familiar": vars(expert.FAMILIAR), "strange": vars(expert.STRANGE)},
    }
