"""HPO task, search space and context that an engine is given, and the proposal that it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nngpt.data.transform_names import dashed, names, spec
from nngpt.generation.contract.answers import PROTOCOL, settings_schema
from nngpt.prediction.places import Facts, Place
from nngpt.prediction.runs import TrainingRun
from nngpt.records import Candidate, Evaluation, Refusal

if TYPE_CHECKING:
    from nngpt.config import Config

TUNABLE = ("lr", "momentum", "dropout")
"""Hyperparameters with a range in LEMUR (docs/design.md)."""

DEFAULT: Mapping[str, float] = {"lr": 0.01, "momentum": 0.9, "dropout": 0.2, "batch": 64}
"""Strong on short trainings of LEMUR networks: 0.240 mean accuracy against TPE's 0.192."""


Interval = tuple[float, float, float]
"""A value and the ends of its 90% interval."""


@dataclass(frozen=True)
class SearchSpace:
    """The settings that may be chosen for a network.

    Attributes:
        supported: names of the network's hyperparameters, without `batch` and `transform`.
        max_batch: largest batch size that fits in memory.
        max_side: largest side of a resized image in pixels; None for no limit.
        min_batch: smallest batch size, if it is not above `max_batch`.
        transform: name of the only transform; None for all that respect `max_side`.
    """

    supported: frozenset[str]
    max_batch: int
    max_side: int | None = None
    min_batch: int = 8
    transform: str | None = None

    @classmethod
    def of(cls, names: frozenset[str], max_batch: int, max_side: int | None = None) -> SearchSpace:
        """Return the space of a network, given all names in its `supported_hyperparameters()`."""
        return cls(names - PROTOCOL, max_batch, max_side)

    @property
    def tunable(self) -> tuple[str, ...]:
        """Hyperparameters of the network that have a known range."""
        return tuple(name for name in TUNABLE if name in self.supported)

    @property
    def batches(self) -> tuple[int, ...]:
        """Powers of two from `min_batch` to `max_batch`, from 8 to 512; else `max_batch`."""
        powers = (2**n for n in range(3, 10))
        return tuple(n for n in powers if self.min_batch <= n <= self.max_batch) or (
            self.max_batch,
        )

    @property
    def transforms(self) -> tuple[str, ...]:
        """Names of the usual transforms that respect `max_side`."""
        return tuple(name for name in names() if self.fits(name))

    def fits(self, transform: str) -> bool:
        """Return True for a known transform that respects `max_side`, or the only one."""
        if self.transform is not None:
            return dashed(transform) == dashed(self.transform)
        found = spec(transform)
        return found is not None and (self.max_side is None or (found.size or 0) <= self.max_side)

    def fixed(self) -> tuple[dict[str, float], tuple[str, ...]]:
        """Return defaults of all hyperparameters, and notes about those without a range (0)."""
        values = {name: DEFAULT.get(name, 0.0) for name in sorted(self.supported)}
        unknown = sorted(self.supported - set(TUNABLE))
        note = f"set to 0, as no range is known: {', '.join(unknown)}"
        return values, (note,) if unknown else ()

    def schema(self) -> dict[str, Any]:
        """Return a flat JSON schema of the tunable hyperparameters, `batch` and `transform`."""
        given = settings_schema(frozenset(self.tunable))["properties"]["hyperparameters"]
        properties = {
            **{name: given["properties"][name] for name in self.tunable},
            "batch": {"enum": list(self.batches)},
            "transform": {"enum": list(self.transforms)},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def space_of(run: TrainingRun) -> SearchSpace:
    """Return the search space of the network of a recorded trial."""
    return SearchSpace.of(frozenset(run.hyperparameters), max_batch=512)


@dataclass(frozen=True)
class HPOTask:
    """A network that needs hyperparameters.

    Attributes:
        code: source of the network.
        space: settings to choose from.
        epochs: length of the training.
        target: accuracy to reach, 0…1; None for the highest possible.
        seed: seed of whatever the engine does at random.
        facts: facts about the data set; None to look them up by its name.
        images: number of training images; None for the whole data set.
    """

    code: str
    space: SearchSpace
    place: Place
    epochs: int
    target: float | None = None
    seed: int = 0
    facts: Facts | None = None
    images: int | None = None


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
        model: model file that proposes, and which LEMUR it was trained on; "" if there is none.
        notes: assumptions to report to the user.
        trained: result of a training with these settings; None if there was none.
    """

    engine: str
    hyperparameters: Mapping[str, float]
    batch: int
    transform: str
    epochs: int
    accuracy: Interval | None = None
    model: str = ""
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
