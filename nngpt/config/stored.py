"""Configurations that a run began with: what must not change, keys of older versions, changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nngpt.config.options import option_defaults, option_models, with_options
from nngpt.config.sections import Config
from nngpt.records import canonical_json

_OPERATIONAL = {
    "candidates": {"overlap"},
    "evaluation": {"sandbox", "workers", "executor", "options", "limit_s", "proxies"},
    "learning": {"max_length", "optimizer", "gradient_checkpointing"}
    | {"packing", "tokens_per_batch", "checkpoint_s"},
}
"""Keys by section that may change while a run goes on; options of plug-ins have `may_change`."""

_NOT_OF_A_RUN = frozenset({"cycles", "folder", "stop", "tracking", "rl", "preference"})
"""Keys and sections that do not affect the outcome of a run's cycles."""

MOVED = {
    "llm.url": "llm.options.url",
    "llm.endpoint": "llm.options.endpoint",
    "llm.served_model": "llm.options.served_model",
    "llm.api_key_env": "llm.options.api_key_env",
    "llm.timeout_s": "llm.options.timeout_s",
    "llm.structured": "llm.options.structured",
    "llm.script": "llm.options.script",
    "evaluation.container": "evaluation.options.command",
    "evaluation.wall_s": "evaluation.limit_s",
    "novelty.lsh_threshold": "novelty.options.lsh_threshold",
    "novelty.permutations": "novelty.options.permutations",
    "novelty.seed": "novelty.options.seed",
}
"""Keys of older versions → their keys of today."""


def identity_of(settings: Config | Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that must not change while a run goes on, as JSON values.

    Args:
        settings: a configuration, or one as it is stored.
    """
    if isinstance(settings, Config):
        settings = settings.model_dump(mode="json")
    kept = {key: value for key, value in settings.items() if key not in _NOT_OF_A_RUN}
    for section, model in option_models(kept):
        options = {**option_defaults(model), **kept[section].get("options", {})}
        lasting = {k: v for k, v in options.items() if k not in model.may_change}
        kept[section] = {**kept[section], "options": lasting}
    for section, keys in _OPERATIONAL.items():
        kept[section] = {k: v for k, v in kept.get(section, {}).items() if k not in keys}
    return kept


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration as this version would store it: keys moved, defaults added."""
    defaults = Config().model_dump(mode="json")
    filled = {**defaults, **upgraded(stored)}
    for section, known in defaults.items():
        if isinstance(known, dict):
            filled[section] = {**known, **filled[section]}
    return with_options(filled)[0]


def with_new_keys(began: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's stored sections with defaults for keys that only `now` has.

    Keys that `now` has and a section of `began` lacks were added since; they get their defaults.
    """
    defaults, filled = Config().model_dump(mode="json"), upgraded(began)
    for name, section in filled.items():
        known, wanted = defaults.get(name), now.get(name)
        if isinstance(section, dict) and isinstance(known, dict) and isinstance(wanted, dict):
            filled[name] = {**{key: known[key] for key in wanted if key in known}, **section}
    for section, model in option_models(filled):
        wanted = now.get(section, {}).get("options", {})
        added = {key: value for key, value in option_defaults(model).items() if key in wanted}
        filled[section]["options"] = {**added, **filled[section].get("options", {})}
    return filled


def differing(old: object, new: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield key path and both values of every setting in which two dumped settings differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differing(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new and canonical_json(old) != canonical_json(new):
        yield path, old, new


def describe_changes(old: object, new: object) -> str:
    """Describe every setting in which two dumped settings differ; "" if they are equal."""
    return ", ".join(f"{path} was {a}, is {b}" for path, a, b in differing(old, new))


def upgraded(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration's settings with the keys of older versions moved.

    Keys that the plug-in in use has no option for are dropped. The exact measure was called
    `minhash` before that had a scheme; the ablation `novelty` of that time refused exact copies.
    """
    found = {key: dict(v) if isinstance(v, Mapping) else v for key, v in stored.items()}
    novelty = found.get("novelty", {})
    if novelty.get("measure") == "minhash" and "scheme" not in novelty.get("options", {}):
        found["novelty"] = {**novelty, "measure": "jaccard", "options": {}}
        if "without" in found:
            renamed = {"novelty": "similarity"}
            found["without"] = [renamed.get(part, part) for part in found["without"]]
    models = dict(option_models(found))
    for old, new in MOVED.items():
        (section, key), option = old.split("."), new.rpartition(".")[2]
        if isinstance(found.get(section), dict) and key in found[section]:
            value = found[section].pop(key)
            if section in models and option in models[section].model_fields:
                options = found[section].get("options", {})
                found[section]["options"] = {**options, option: value}
    return found
