"""Ask an HPO engine for the hyperparameters of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from functools import partial
from typing import Any

from nngpt import plugins
from nngpt.config import Config
from nngpt.generation.contract.network_file import NetworkFile
from nngpt.prediction.data_description import DataDescription
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal, SearchSpace, Train
from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name

KIND = "HPO engine"

Training = Callable[[str, HPOTask], AbstractContextManager[Train]]
"""Opens a function that trains a task's network, for a purpose: "search" or "run"."""


def make_task(
    network: NetworkFile,
    data: DataDescription,
    config: Config,
    target: float | None = None,
    max_batch: int = 256,
    max_side: int | None = None,
) -> HPOTask:
    """Return the task of proposing a network's hyperparameters.

    Args:
        config: length of the training and seed.
        target: accuracy to reach, 0…1; None for the highest possible.
        max_batch: largest batch size.
        max_side: largest side of a resized image in pixels, None for no limit.
    """
    space = SearchSpace.of(network.supported, max_batch, max_side)
    place = Place(IMAGE_CLASSIFICATION, lemur_name(data.name), "acc")
    epochs = config.evaluation.epochs
    return HPOTask(network.code, space, place, epochs, target, config.seed, data.facts)


def propose(
    task: HPOTask,
    data: DataDescription,
    config: Config,
    training: Training,
    engine: str,
    options: Mapping[str, Any],
    count: int,
) -> list[Proposal]:
    """Return up to `count` proposals of an engine, the best first.

    Raises:
        PluginError: there is no such engine.
        UserError: the engine lacks something, or an option is wrong.
    """
    context = EngineContext(config, partial(training, "search"))
    with closing(plugins.create(KIND, engine, context, options=options)) as opened:
        proposals: list[Proposal] = opened.propose(task, count)
    if data.unknown:
        proposals = [replace(one, notes=(data.unknown, *one.notes)) for one in proposals]
    return proposals
