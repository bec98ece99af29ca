"""Settings in which a network may be trained: one choice of them, and all that may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nngpt.data.transform_names import dashed, names, spec
from nngpt.generation.contract.answers import PROTOCOL
from nngpt.generation.contract.settings import settings_schema
from nngpt.prediction.hpo.defaults import DEFAULT
from nngpt.records import Candidate

KNOWN = ("lr", "momentum", "dropout")
"""Hyperparameters whose ranges are LEMUR's (DESIGN.md)."""


@dataclass(frozen=True)
class Choice:
    """Settings for a network.

    Attributes:
        engine: who chose.
        hyperparameters: a value for each that the network supports.
        batch: batch size.
        transform: its name.
        epochs: for which the choice was made.
        accuracy: expected after these, with the ends of its 90% interval; None if nobody knows.
        notes: what was assumed; for the user.
    """

    engine: str
    hyperparameters: Mapping[str, float]
    batch: int
    transform: str
    epochs: int
    accuracy: tuple[float, float, float] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """As `evaluation` of a configuration has them."""
        return {
            "batch": self.batch,
            "transform": dashed(self.transform),
            "hyperparameters": dict(self.hyperparameters),
        }

    def applied(self, candidate: Candidate) -> Candidate:
        """The candidate with these settings."""
        return replace(candidate, **self.settings)


@dataclass(frozen=True)
class Space:
    """What may be chosen for a network.

    Attributes:
        supported: names of its hyperparameters, `batch` and the like left out.
        max_batch: images that memory takes at once.
        max_side: largest side that images are resized to, in pixels; None for any.
    """

    supported: frozenset[str]
    max_batch: int
    max_side: int | None = None

    @classmethod
    def of(cls, supported: frozenset[str], max_batch: int, max_side: int | None = None) -> Space:
        """The space of a network that supports these names."""
        return cls(supported - PROTOCOL, max_batch, max_side)

    @property
    def known(self) -> tuple[str, ...]:
        """The hyperparameters that can be chosen."""
        return tuple(name for name in KNOWN if name in self.supported)

    @property
    def batches(self) -> tuple[int, ...]:
        """Powers of two from 8 (or what memory takes) to 512."""
        found = tuple(batch for batch in (8, 16, 32, 64, 128, 256, 512) if batch <= self.max_batch)
        return found or (self.max_batch,)

    @property
    def transforms(self) -> tuple[str, ...]:
        """The usual transforms whose images are not too large."""
        return tuple(name for name in names() if self.fits(name))

    def fits(self, transform: str) -> bool:
        """True for a transform that we have, if it does not make images too large."""
        found = spec(transform)
        size = found.size if found else None
        return found is not None and (self.max_side is None or (size or 0) <= self.max_side)

    def fixed(self) -> tuple[dict[str, float], tuple[str, ...]]:
        """A value for each hyperparameter, and what must be said about those nobody knows."""
        values = {name: DEFAULT.get(name, 0.0) for name in sorted(self.supported)}
        unknown = sorted(self.supported - set(KNOWN))
        if not unknown:
            return values, ()
        return values, (f"nothing is known of {', '.join(unknown)}: 0 was taken",)

    def schema(self) -> dict[str, Any]:
        """JSON schema of an object with all that can be chosen, on one level."""
        given = settings_schema(frozenset(self.known))["properties"]
        values = given["hyperparameters"]["properties"]
        properties = {
            **{name: values[name] for name in self.known},
            "batch": {"enum": list(self.batches)},
            "transform": {"enum": list(self.transforms)},
        }
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
