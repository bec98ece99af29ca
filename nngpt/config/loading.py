"""Read a configuration file, apply `--set`, and find shipped files by name.

All mistakes of a file are reported together, each with its key path and the nearest known key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nngpt import files, plugins
from nngpt.config import yaml_text
from nngpt.config.options import plugin_of, with_options
from nngpt.config.sections import Config
from nngpt.config.stored import MOVED
from nngpt.errors import ConfigError, explain, nearest

_PACKAGE = Path(__file__).resolve().parents[1]

SHIPPED = _PACKAGE / "generation" / "models" / "shipped"
"""Folder of the adapters that come with nngpt, each in a folder with its training corpora."""

_CORPORA = (SHIPPED, _PACKAGE / "search")
"""Folders of the corpora that come with nngpt; that of the search holds the portfolio."""

LEMUR_CORPUS = Path("lemur")
"""Value of `learning.corpus` for the papers' initial pairs."""

_LEMUR_RECIPE = "lemur-1"
"""Name and number of that corpus's recipe; another recipe gets another number."""

_PLUGIN_KEYS = {f"{section}.{key}": section for section, key in plugins.SECTIONS.values()}


def load(name: str | Path | None, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file and apply `key.path=value` overrides (values are YAML).

    Without a name, all settings but the overrides have their defaults.

    Raises: ConfigError if the file is missing or not YAML, or a key or value is wrong; all
    mistakes are in the one message.
    """
    path = _config_file(str(name)) if name is not None else None
    data = read_yaml(path) if path else {}
    return changed(data, overrides, str(path or "--set"))


def as_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return values by key path as overrides of a configuration."""
    return [f"{key}={json.dumps(value, default=str)}" for key, value in values.items()]


def changed(settings: dict[str, Any], overrides: Sequence[str], where: str) -> Config:
    """Apply `key.path=value` overrides to a configuration and validate it, options included.

    An override that names another plug-in drops the options of the plug-in before.

    Args:
        where: source of the settings, for error messages.

    Raises: ConfigError if a key or value is wrong.
    """
    given = [_parsed(override) for override in overrides]
    for key, value in sorted(given, key=lambda one: one[0] not in _PLUGIN_KEYS):
        _override(settings, key, value)
    mistakes = _take_moved(settings)
    settings, wrong = with_options(settings)
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        mistakes.append(explain(error, Config))
    if mistakes := [*mistakes, *wrong]:
        raise ConfigError("; ".join(mistakes), where=where)
    return config


def _take_moved(settings: dict[str, Any]) -> list[str]:
    """Remove keys of older versions; return a line for each that names its new key."""
    mistakes = []
    for old, new in MOVED.items():
        section, key = old.split(".")
        inner = settings.get(section)
        if isinstance(inner, dict) and key in inner:
            settings[section] = {k: v for k, v in inner.items() if k != key}
            mistakes.append(f"{old} has moved: write {new}")
    return mistakes


def _parsed(override: str) -> tuple[str, Any]:
    """Split an override into its key path and its value. Raises: ConfigError."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        what = f"{override!r} is not key=value"
        raise ConfigError(what, where="--set", hint="Example: --set seed=2")
    return key.strip(), yaml_text.parse(value, f"--set {key.strip()}")


def _override(data: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a key path in nested settings. Raises: ConfigError."""
    *parents, last = key.split(".")
    inner = data
    for parent in parents:
        inner = inner.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{parent!r} in {key!r} is not a section", where="--set")
    if key in _PLUGIN_KEYS and value != plugin_of(parents[0], last, inner):
        inner.pop("options", None)
    inner[last] = value


def resource_folder(name: str) -> Path:
    """Return the folder of shipped configurations (`configs`) or templates (`prompts`)."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def _config_file(name: str) -> Path:
    """Return the file for `smoke-mnist`, `smoke-mnist.yaml` or a path of the user's own."""
    given = Path(name)
    file = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    shipped = resource_folder("configs") / file
    own = given.is_file() or given.parent != Path() or not shipped.exists()
    return given if own else shipped


def corpus_file(path: Path) -> Path:
    """Return the file that a configuration's corpus setting names.

    It is a path, a shipped corpus, or that of `lemur` in the cache, built on first use.
    """
    if path == LEMUR_CORPUS and not path.exists():
        return files.cache_folder() / "corpora" / _LEMUR_RECIPE / "train.jsonl"
    shipped = [] if path.exists() else [folder / path for folder in _CORPORA]
    return next((file for file in shipped if file.is_file()), path)


def read_yaml(
    path: Path, resources: str = "configs", missing: str = "no such file"
) -> dict[str, Any]:
    """Read a configuration, experiment or prompt template: keys and values of a YAML file.

    Args:
        resources: folder of the shipped files, whose names are the hint if the file is missing.
        missing: message if the file is missing.

    Raises:
        ConfigError: the file is missing, cannot be read, or does not hold keys and values.
    """
    if not path.exists():
        known = [file.stem for file in resource_folder(resources).glob("*.yaml")]
        raise ConfigError(missing, where=str(path), hint=nearest(path.stem, known))
    data = yaml_text.parse(files.read_text(path, yaml_text.LARGEST, ConfigError), str(path))
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError("must hold keys and values, like `name: my-run`", where=str(path))
    return data
