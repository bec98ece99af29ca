"""Load a plug-in by its name in the configuration, and create it with its options.

A name is a file in the kind's folder (`mnist` → `nngpt/data/sources/mnist.py`) or a dotted path to
a module of your own (`mylab.data.birds`). The module has a function `create`, and a Pydantic model
`Options` if it has options (docs/extending.md).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nngpt.errors import ConfigError, PluginError, explain, nearest

KINDS = {
    "data set": "nngpt.data.sources",
    "LLM backend": "nngpt.generation.llm",
    "executor": "nngpt.sandbox.executors",
    "novelty measure": "nngpt.novelty.measures",
    "learner": "nngpt.finetuning.learners",
    "reward": "nngpt.finetuning.rewards",
    "dedup level": "nngpt.novelty.dedup.levels",
    "prompt mode": "nngpt.generation.modes",
    "HPO engine": "nngpt.prediction.hpo.engines",
    "tracker": "nngpt.reports.trackers",
}
"""Kind of plug-in → the package whose modules are the plug-ins of that kind."""

IMAGE_FOLDER = "image-folder"
"""Name of the data set that is a folder of the user's images."""

SECTIONS = {
    "data set": ("task", "dataset"),
    "LLM backend": ("llm", "backend"),
    "executor": ("evaluation", "executor"),
    "novelty measure": ("novelty", "measure"),
    "learner": ("learning", "learner"),
}
"""Kind of plug-in → the section of the configuration that holds its options, and the key with its
name."""

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")

STRICT = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
"""Settings of all Pydantic models of the configuration."""


class PluginOptions(BaseModel):
    """Base of a plug-in's `Options`; unknown keys are refused.

    Attributes:
        may_change: names of options that may change while a run goes on, such as a timeout.
    """

    model_config = STRICT
    may_change: ClassVar[frozenset[str]] = frozenset()


def names(kind: str) -> list[str]:
    """Return the sorted names of a kind's built-in plug-ins, without importing them."""
    package = importlib.import_module(KINDS[kind])
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in found)


def load(kind: str, name: str) -> Any:
    """Import the module of a plug-in by its name or dotted path.

    Raises:
        PluginError: no such file, the dotted path cannot be imported, or it has no `create`.
    """
    if name not in names(kind) and not _DOTTED.fullmatch(name):
        raise _unknown(kind, name)
    module_name = name if "." in name else f"{KINDS[kind]}.{name.replace('-', '_')}"
    try:
        module = importlib.import_module(module_name)
    except SyntaxError as error:
        what = f"{kind} {name!r} is not valid Python ({error.msg}, line {error.lineno})"
        raise PluginError(what, where=str(error.filename)) from None
    except ModuleNotFoundError as error:
        missing = str(error.name)
        if f"{module_name}.".startswith(f"{missing}."):
            raise _unknown(kind, name) from None
        if missing.startswith("nngpt."):
            raise
        what = f"{kind} {name!r} needs the package {missing!r}, which is not installed"
        raise PluginError(what, hint=f"Install it: pip install {missing}") from None
    if not hasattr(module, "create"):
        raise PluginError(f"{kind} {name!r}: the module {module_name} has no function create()")
    return module


def options_model(kind: str, name: str) -> type[PluginOptions] | None:
    """Return the model of a plug-in's options, None if it has no options. Raises: PluginError."""
    return getattr(load(kind, name), "Options", None)


def check_options(kind: str, name: str, given: Mapping[str, Any]) -> PluginOptions | None:
    """Validate the options of a plug-in; return None if it has no options.

    Raises:
        PluginError: there is no such plug-in.
        ConfigError: an option is unknown, missing or wrong; all mistakes are in the one message.
    """
    path = ".".join((*SECTIONS.get(kind, ())[:1], "options"))
    model = options_model(kind, name)
    if model is None:
        if given:
            unknown = ", ".join(repr(f"{path}.{key}") for key in given)
            raise ConfigError(f"unknown key {unknown}. The {kind} {name!r} has no options")
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise ConfigError(explain(error, model, path)) from None


def create(kind: str, name: str, *arguments: Any, options: Mapping[str, Any] | None = None) -> Any:
    """Create a plug-in: call its `create(*arguments)`, with `options=` if it has options.

    Raises:
        PluginError: there is no such plug-in.
        ConfigError: an option is wrong.
        NngptError: whatever the plug-in's own `create` raises.
    """
    checked = check_options(kind, name, options or {})
    extra = {} if checked is None else {"options": checked}
    return load(kind, name).create(*arguments, **extra)


def _unknown(kind: str, name: str) -> PluginError:
    hint = nearest(name, names(kind))
    if "/" in name or name.startswith("."):
        hint = f"It is a name, or the dotted path of a module. {hint}"
        if kind == "data set":
            hint = "It is a name, the dotted path of a module, or an existing folder of images"
    return PluginError(f"unknown {kind} {name!r}", hint=hint)
