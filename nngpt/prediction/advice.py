"""Advice about a candidate and its task by the packaged predictor and surrogate, or one's own.

Nothing is trained, and no database is opened. The files are read once per process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import HPOTask, Proposal, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile
from nngpt.prediction.hpo.surrogate import default_path as surrogate_path
from nngpt.prediction.hpo.trial_features import row
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.places import facts_of, place_of
from nngpt.prediction.predictor import PredictedValue, Prediction, Predictor
from nngpt.prediction.predictor import default_path as predictor_path
from nngpt.prediction.runs import TrainingRun
from nngpt.records import Candidate, Task


def predict_final(
    candidate: Candidate, task: Task, accuracies: Sequence[float] = (), images: float = math.nan
) -> Prediction:
    """Predict a candidate's accuracy within 50 epochs, given those of its first epochs.

    Args:
        accuracies: accuracy after each epoch from the first on, 0…1.
        images: number of training images, if LEMUR does not have the task's data set.

    Raises:
        DataError: the code is not valid Python.
        UserError: the predictor's file is damaged, or an accuracy is outside 0…1.
    """
    settings = {**candidate.hyperparameters, "batch": candidate.batch}
    place, facts = place_of(task), facts_of(task, images)
    return _predictor().predict(
        candidate.code, place, settings, candidate.transform, accuracies, facts
    )


def predict_epoch(
    candidate: Candidate, task: Task, epochs: int = 1, images: int | None = None
) -> PredictedValue:
    """Predict a candidate's accuracy after `epochs` epochs with its own settings.

    The surrogate has models for 1, 5 and 50 epochs. For a data set that it has not learned from,
    values rank candidates, but neither value nor interval can be trusted.

    Args:
        images: number of training images; None for the whole data set.

    Raises: as `predict_final`, for the surrogate.
    """
    file, place, facts = _surrogate(), place_of(task), facts_of(task, images or math.nan)
    _, model = file.at(epochs)
    values = {**candidate.hyperparameters, "batch": float(candidate.batch)}
    run = TrainingRun("network", place, values, candidate.transform.replace("-", "_"))
    codes = {"network": candidate.code}
    inputs = row(run, codes, file.sources, file.vocabulary, images, facts)
    return PredictedValue(*model.accuracies(np.array([inputs]))[0])


def best_settings(
    candidate: Candidate,
    task: Task,
    epochs: int = 1,
    count: int = 1,
    max_batch: int = 256,
    max_side: int | None = 0,
    images: int | None = None,
) -> list[Proposal]:
    """Propose hyperparameters, batch size and transform, the best first, by the surrogate.

    `Proposal.applied(candidate)` is the candidate with these settings.

    Args:
        epochs: length of the training.
        count: number of clearly different proposals.
        max_side: largest side of a resized image in pixels, 0 for transforms that keep the size;
            None for no limit.
        images: number of training images; None for the whole data set.

    Raises: as `predict_final`, for the surrogate.
    """
    space = SearchSpace.of(frozenset(candidate.hyperparameters), max_batch, max_side)
    facts = facts_of(task, images or math.nan)
    asked = HPOTask(candidate.code, space, place_of(task), epochs, facts=facts)
    return best_of_grid(_surrogate(), asked, count, images)


@cache
def _predictor() -> Predictor:
    return Predictor(file_to_use(predictor_path()))


@cache
def _surrogate() -> SurrogateFile:
    return SurrogateFile(file_to_use(surrogate_path()))
