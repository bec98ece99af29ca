"""Turn the settings of a recorded LEMUR trial into the settings of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from nngpt.data import transform_names
from nngpt.finetuning.corpus.bodies import parse_network
from nngpt.generation.contract.answers import Answer, Hyperparameters
from nngpt.generation.contract.interface import read_supported
from nngpt.records import Refusal

_DIGITS = 3
"""Significant digits of recorded values: they were drawn at random, so more would teach nothing."""


def answer_with_settings(code: str, settings: Mapping[str, Any]) -> Answer:
    """Return the answer of `full` mode: a network's code with the settings of its best trial."""
    batch, transform = settings.get("batch"), settings.get("transform")
    return Answer(
        code.strip("\n").rstrip(),
        allowed_values(settings, _supported(code)),
        batch if isinstance(batch, int) and _is_allowed("batch", batch) else None,
        _prompt_name(transform) if isinstance(transform, str) else None,
    )


def allowed_values(settings: Mapping[str, Any], names: frozenset[str]) -> dict[str, float]:
    """Return the named settings whose values are within the contract's ranges, rounded."""
    found = {}
    for name in sorted(names & settings.keys()):
        value = settings[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            rounded = float(f"{value:.{_DIGITS}g}")
            if _is_allowed(name, rounded):
                found[name] = rounded
    return found


def _prompt_name(transform: str) -> str | None:
    """Return a transform's name as prompts write it; None if nngpt does not have the transform."""
    return transform.replace("_", "-") if transform_names.spec(transform) else None


def _supported(code: str) -> frozenset[str]:
    tree = parse_network(code)
    names = read_supported(tree) if tree is not None else frozenset[str]()
    protocol = frozenset({"batch", "epoch", "transform"})
    return frozenset() if isinstance(names, Refusal) else names - protocol


def _is_allowed(name: str, value: float) -> bool:
    try:
        Hyperparameters.model_validate({name: value})
    except ValidationError:
        return False
    return True
