"""Which LLM writes networks in a search, with which settings, and in how many rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nngpt.config import Config
from nngpt.generation.models import embedded

_SMALL, _LOCAL = "smollm2-135m", "transformers"
"""The model that writes unless the user names another; the backend of models in this process."""

_SECTIONS = ("llm", "prompt", "sampling", "candidates", "learning")
"""Sections of the configuration in which the user's own settings hold for the LLM's runs."""

_TUNED = "tuned-"
"""How the names of prompts for tuned models begin."""

_OF_SMALL: Mapping[str, Mapping[str, Any]] = {
    "llm": {"adapter": f"{_SMALL}-lemur", "batch_size": 4},
    "prompt": {"template": "tuned-features"},
    "sampling": {"temperature": 1.0, "top_k": 50, "top_p": 0.95, "max_new_tokens": 320},
    "learning": {"start": "last", "epochs": 2, "batch_size": 2, "accumulation": 1}
    | {"learning_rate": 0.0002, "warmup_steps": 2},
}
_OF_OTHERS: Mapping[str, Mapping[str, Any]] = {
    "llm": {"batch_size": 4},
    "prompt": {"template": "delta"},
    "sampling": {"temperature": 0.7, "top_k": 50, "top_p": 0.95, "max_new_tokens": 768},
    "candidates": {"repairs": 1},
    "learning": {"start": "last", "epochs": 2, "batch_size": 1, "accumulation": 2}
    | {"learning_rate": 0.0002, "warmup_steps": 2, "max_length": 8192},
}
"""Settings of the model that comes with nngpt and its adapter, and of any other model."""

FEWEST = 2
"""Networks of the LLM's own that are worth learning, or going on from."""

_SECOND_S, _LEARNING_S = 90.0, 190.0
"""Seconds of the LLM's part from which on it writes in two rounds, and learns between them."""


def problem(base: Config) -> str:
    """Return why the LLM cannot take part, "" if it can.

    Raises: ModelError if the user named a model that is not here.
    """
    if base.llm.backend != _LOCAL:
        return ""
    if "model" in base.llm.model_fields_set:
        embedded.resolve(base.llm.model)
    elif embedded.cached_file(embedded.MODELS[base.llm.model]) is None:
        return f"its model is not here (nngpt models pull {base.llm.model})"
    return ""


def given(base: Config) -> dict[str, dict[str, Any]]:
    """Return the settings of the LLM that the user gave, by section."""
    found = {name: getattr(base, name) for name in _SECTIONS}
    return {name: one.model_dump(mode="json", exclude_unset=True) for name, one in found.items()}


def own_keys(base: Config) -> dict[str, Any]:
    """Return the user's settings of the LLM by key path; the cycles are its rounds."""
    found = {f"{name}.{key}": v for name, one in given(base).items() for key, v in one.items()}
    return found | ({"cycles": base.cycles} if "cycles" in base.model_fields_set else {})


def settings(base: Config) -> dict[str, dict[str, Any]]:
    """Return the sections of the LLM's runs: those that suit the model, and the user's own."""
    own = given(base)
    ours = (base.llm.backend, base.llm.model) == (_LOCAL, _SMALL)
    usual = _OF_SMALL if ours else _OF_OTHERS
    found = {name: {**usual.get(name, {}), **own[name]} for name in _SECTIONS}
    if not found["prompt"]["template"].startswith(_TUNED) and "adapter" not in own["llm"]:
        found["llm"].pop("adapter", None)  # it was tuned on no other prompts
    return found


def learns(base: Config) -> bool:
    """Return whether the LLM is tuned between rounds: a model in this process, unless unwanted."""
    return bool(given(base)["learning"].get("enabled", base.llm.backend == _LOCAL))


def rounds_within(base: Config, seconds: float) -> int:
    """Return in how many rounds the LLM writes in so many seconds, if it writes enough networks."""
    return base.cycles if _wants(base, "cycles") else 2 if seconds >= _SECOND_S else 1


def choose_rounds(base: Config, seconds: float, count: int) -> tuple[int, bool, str]:
    """Return in how many rounds the LLM writes, whether it learns before the later ones, and why.

    Args:
        seconds: time of its part.
        count: networks to write.
    """
    found = settings(base)
    name = base.llm.model
    name += "" if base.llm.backend == _LOCAL else f" ({base.llm.backend})"
    how = f"LLM: {count} networks by {name}, prompt {found['prompt']['template']!r}"
    tuned = learns(base) and (seconds >= _LEARNING_S or _wants(base, "learning.enabled"))
    rounds = min(rounds_within(base, seconds), max(1, count // FEWEST))
    if rounds == 1:
        return 1, False, f"{how}, in one round of {seconds:.0f} s"
    start = "the best so far"
    if found["llm"].get("adapter") == _OF_SMALL["llm"]["adapter"]:
        start = "halves of its better ones"  # as examples they would shorten its answers
    learning = "after learning from them" if tuned else "without learning"
    learning += " (no time)" if learns(base) and not tuned else ""
    return rounds, tuned, f"{how}, in {rounds} rounds: later ones go on from {start}, {learning}"


def _wants(base: Config, key: str) -> bool:
    """Return whether the user gave a setting."""
    return key in own_keys(base)
