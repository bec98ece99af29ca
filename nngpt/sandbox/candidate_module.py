"""Load a candidate's source as a module and build its network. Runs in the worker only."""

from __future__ import annotations

import linecache
import sys
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

NAME = "candidate"
"""Name of the module that holds the generated code."""

_PROTOCOL = {"batch", "epoch", "transform"}


class RejectedError(Exception):
    """Raised when a candidate's module breaks the contract without an exception of its own."""


def load_module(code: str) -> types.ModuleType:
    """Execute a candidate's code as a module. Raises: Exception, whatever the code raises."""
    path = f"{NAME}.py"
    # Tracebacks and torch.jit read the source; there may be no folder to write it to.
    linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
    module = types.ModuleType(NAME)
    module.__file__ = path
    sys.modules[NAME] = module
    exec(compile(code, path, "exec"), module.__dict__)
    return module


def supported_values(module: types.ModuleType, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return `prm` for a candidate's module: values of its hyperparameters, `batch` and others.

    Raises: RejectedError if a supported hyperparameter has no value.
    """
    given = job["hyperparameters"]
    supported = set(module.supported_hyperparameters())
    lacking = sorted(str(name) for name in supported - set(given) - _PROTOCOL)
    if lacking:
        raise RejectedError(f"no value for the hyperparameter {lacking[0]!r}")
    prm = {name: value for name, value in given.items() if name in supported}
    protocol = {"batch": job["batch"], "epoch": job["epochs"], "transform": job["transform"]}
    return prm | protocol


def build_network(
    module: types.ModuleType,
    in_shape: tuple[int, int, int, int],
    job: Mapping[str, Any],
    device: torch.device,
) -> Any:
    """Return an instance of the module's `Net`. Raises: RejectedError if there is none."""
    if not isinstance(getattr(module, "Net", None), type):
        raise RejectedError("the code defines no class Net")
    net = module.Net(in_shape, (job["classes"],), supported_values(module, job), device)
    if not isinstance(net, nn.Module):
        raise RejectedError("Net is no torch.nn.Module")
    return net
