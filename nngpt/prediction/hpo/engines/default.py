"""HPO engine that always proposes the same configuration: SGD's lr 0.01, momentum 0.9, batch 64."""

from __future__ import annotations

from nngpt.prediction.hpo.proposal import DEFAULT, EngineContext, HPOTask, Proposal


class DefaultEngine:
    """Proposes the default configuration."""

    immediate = True

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the default configuration, within the search space."""
        values, notes = task.space.fixed()
        batch = min(int(DEFAULT["batch"]), task.space.max_batch)
        return [Proposal("default", values, batch, "norm", task.epochs, notes=notes)]

    def close(self) -> None:
        """Do nothing: the engine holds no resources."""


def create(context: EngineContext) -> DefaultEngine:
    """Return the HPO engine `default`."""
    return DefaultEngine()
