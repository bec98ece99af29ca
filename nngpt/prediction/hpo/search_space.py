"""The search space of one network: batch sizes, transforms and hyperparameters to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nngpt.data.transform_names import names, spec
from nngpt.generation.contract.answers import PROTOCOL
from nngpt.generation.contract.settings_schema import settings_schema

TUNABLE = ("lr", "momentum", "dropout")
"""Hyperparameters with a range in LEMUR (docs/design.md)."""

DEFAULT: Mapping[str, float] = {"lr": 0.01, "momentum": 0.9, "dropout": 0.2, "batch": 64}
"""Strong on short trainings of LEMUR networks: 0.240 mean accuracy against TPE's 0.192."""


@dataclass(frozen=True)
class SearchSpace:
    """The settings that may be chosen for a network.

    Attributes:
        supported: names of the network's hyperparameters, without `batch` and `transform`.
        max_batch: largest batch size that fits in memory.
        max_side: largest side of a resized image in pixels; None for no limit.
    """

    supported: frozenset[str]
    max_batch: int
    max_side: int | None = None

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
        """Powers of two from 8 (or `max_batch`, if smaller) to 512."""
        return tuple(2**n for n in range(3, 10) if 2**n <= self.max_batch) or (self.max_batch,)

    @property
    def transforms(self) -> tuple[str, ...]:
        """Names of the usual transforms that respect `max_side`."""
        return tuple(name for name in names() if self.fits(name))

    def fits(self, transform: str) -> bool:
        """Return True for a known transform that respects `max_side`."""
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
