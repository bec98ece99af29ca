"""What an HPO engine is given (a task and its context) and what it returns (a proposal)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nngpt.data.transform_names import dashed
from nngpt.prediction.hpo.search_space import SearchSpace
from nngpt.prediction.places import Place
from nngpt.records import Candidate, Evaluation, Refusal

if TYPE_CHECKING:
    from nngpt.config import Config


@dataclass(frozen=True)
class HPOTask:
    """A network that needs hyperparameters.

    Attributes:
        code: source of the network.
        space: settings to choose from.
        epochs: length of the training.
        target: accuracy to reach, 0…1; None for the highest possible.
        seed: seed of whatever the engine does at random.
    """

    code: str
    space: SearchSpace
    place: Place
    epochs: int
    target: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Proposal:
    """Settings that an engine proposes for a network.

    Attributes:
        engine: name of the engine.
        hyperparameters: a value for each hyperparameter that the network supports.
        batch: batch size.
        transform: name of the transform.
        epochs: length of the training that the settings are meant for.
        accuracy: expected accuracy and the ends of its 90% interval; None if not estimated.
        notes: assumptions to report to the user.
        trained: result of a training with these settings; None if there was none.
    """

    engine: str
    hyperparameters: Mapping[str, float]
    batch: int
    transform: str
    epochs: int
    accuracy: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    trained: Evaluation | Refusal | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as the `evaluation` section of a configuration."""
        values, transform = dict(self.hyperparameters), dashed(self.transform)
        return {"batch": self.batch, "transform": transform, "hyperparameters": values}

    @property
    def score(self) -> float:
        """Accuracy after the last epoch of the training; -1 if refused or not trained."""
        return self.trained.epochs[-1].accuracy if isinstance(self.trained, Evaluation) else -1.0

    def applied(self, candidate: Candidate) -> Candidate:
        """Return the candidate with these settings."""
        return replace(candidate, **self.settings)


Train = Callable[[Proposal], Evaluation | Refusal]
"""Trains the network of a task with the proposed settings."""


@dataclass(frozen=True)
class EngineContext:
    """Context of an HPO engine: configuration, and `training` (None where that is impossible)."""

    config: Config
    training: Callable[[HPOTask], AbstractContextManager[Train]] | None = None
