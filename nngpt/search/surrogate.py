"""The recipe that LEMUR's surrogate proposes for a network: plain SGD at its learning rate.

The surrogate knows LEMUR's trainings, which took SGD with any momentum and small batches. What
carries over to the search's own recipe is how far an image moves the weights: the learning rate,
divided by the batch size and by one minus the momentum.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import HPOTask, SearchSpace
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.model_file import file_to_use
from nngpt.prediction.places import facts_of, place_of
from nngpt.records import Candidate, Task
from nngpt.search.recipe import DECAY, Recipe

_MOMENTUM = 0.9
"""Of SGD in a stage (`nngpt.records.TrainingStage`)."""

_EPOCHS, _DIGITS = 5, 2


def surrogate_recipe(candidate: Candidate, task: Task, usual: Recipe, images: int) -> Recipe | None:
    """Return SGD with the usual batch and transform, and the rate of the surrogate's proposal.

    Args:
        images: number of training images.

    Returns:
        None for a network without a learning rate or with another optimiser than SGD, about which
        the surrogate says nothing that carries over.

    Raises: UserError if the surrogate's file is damaged.
    """
    if "lr" not in candidate.hyperparameters or "optim.SGD(" not in candidate.code:
        return None
    space = SearchSpace.of(frozenset(candidate.hyperparameters), usual.batch, max_side=0)
    facts = facts_of(task, images)
    asked = HPOTask(candidate.code, space, place_of(task), _EPOCHS, facts=facts, images=images)
    (found, *_) = best_of_grid(_surrogate(), asked, 1)
    reach = found.hyperparameters["lr"] / (1 - found.hyperparameters.get("momentum", 0.0))
    rate = reach * (1 - _MOMENTUM) * usual.batch / found.batch
    digits = _DIGITS - 1 - math.floor(math.log10(rate))
    return replace(usual, optimiser="sgd", lr=round(rate, digits), weight_decay=DECAY["sgd"])


@cache
def _surrogate() -> SurrogateFile:
    return SurrogateFile(file_to_use(default_path()))
