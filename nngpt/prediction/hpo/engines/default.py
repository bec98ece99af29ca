"""HPO engine that always proposes the same configuration: SGD's lr 0.01, momentum 0.9, batch 64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nngpt.prediction.hpo.pools import distance
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal
from nngpt.prediction.hpo.search_space import DEFAULT

if TYPE_CHECKING:
    from nngpt.prediction.hpo.benchmark import RecordedTrials, Vector


class DefaultEngine:
    """Proposes the default configuration."""

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the default configuration, within the search space."""
        values, notes = task.space.fixed()
        batch = min(int(DEFAULT["batch"]), task.space.max_batch)
        return [Proposal("default", values, batch, "norm", task.epochs, None, notes)]

    def scores(self, trials: RecordedTrials) -> Vector:
        """Score each trial by its nearness to the default [n]."""
        return -np.concatenate([distance(pool, DEFAULT) for pool in trials.pools])

    def close(self) -> None:
        """Do nothing."""


def create(context: EngineContext) -> DefaultEngine:
    """Return the engine."""
    return DefaultEngine()
