"""From a name in the configuration to the code behind it.

A name is a file in the kind's folder (`mnist` → `nngpt/data/sources/mnist.py`) or a dotted path to
somebody else's module (`mylab.data.birds`). Either has a function `create`. Modules whose
names begin with `_` and a kind's own helpers (listed here) are not plug-ins.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

from nngpt.errors import PluginError, nearest

KINDS = {
    "data set": "nngpt.data.sources",
    "LLM backend": "nngpt.generation.llm",
    "executor": "nngpt.sandbox.executors",
    "novelty measure": "nngpt.novelty.measures",
    "learner": "nngpt.finetuning.learners",
    "reward": "nngpt.finetuning.rewards",
    "dedup level": "nngpt.novelty.dedup.levels",
}
"""Kind of plug-in → the package whose modules are the plug-ins of that kind."""


def names(kind: str) -> list[str]:
    """Names of the built-in plug-ins of a kind, sorted; imports only the kind's package."""
    package = importlib.import_module(KINDS[kind])
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name.replace("_", "-") for name in found if name[0] != "_")


def load(kind: str, name: str) -> Any:
    """The module of a plug-in.

    Raises:
        PluginError: no such file, the dotted path cannot be imported, or it has no `create`.
    """
    module_name = _module_name(kind, name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise PluginError(
                f"{kind} {name!r} needs the package {error.name!r}, which is not installed",
                hint=f"Install it: pip install {error.name}",
            ) from None
        raise _unknown(kind, name) from None
    if not hasattr(module, "create"):
        raise PluginError(f"{kind} {name!r}: the module {module_name} has no function create()")
    return module


def _module_name(kind: str, name: str) -> str:
    if "." in name:
        return name
    if name not in names(kind):
        raise _unknown(kind, name)
    return f"{KINDS[kind]}.{name.replace('-', '_')}"


def _unknown(kind: str, name: str) -> PluginError:
    return PluginError(f"unknown {kind} {name!r}", hint=nearest(name, names(kind)))
