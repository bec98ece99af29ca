"""HPO engine that always proposes the same configuration: SGD's lr 0.01, momentum 0.9, batch 64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nngpt.prediction.hpo.distance import distance_to_default
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal
from nngpt.prediction.hpo.search_space import DEFAULT, SearchSpace

if TYPE_CHECKING:
    from nngpt.prediction.hpo.benchmark import RecordedTrials, Vector


class DefaultEngine:
    """Proposes the default configuration."""

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the default configuration, within the search space."""
        return [default_proposal(task.space, task.epochs)]

    def scores(self, trials: RecordedTrials) -> Vector:
        """Score each trial by its nearness to the default [n]."""
        return -distance_to_default(trials.table.inputs)

    def close(self) -> None:
        """Do nothing."""


def default_proposal(space: SearchSpace, epochs: int) -> Proposal:
    """Return the default configuration, within the search space."""
    values, notes = space.fixed()
    batch = min(int(DEFAULT["batch"]), space.max_batch)
    return Proposal("default", values, batch, "norm", epochs, None, notes)


def create(context: EngineContext) -> DefaultEngine:
    """Return the engine."""
    return DefaultEngine()
