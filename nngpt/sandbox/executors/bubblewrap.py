"""Executor `bubblewrap`: like `local`, with bubblewrap's namespaces around its zygote."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.protocols import Pruner
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor, create_wrapped
from nngpt.sandbox.readable_paths import readable_paths

_PROGRAMS = ("/bin", "/sbin", "/usr/bin", "/usr/sbin")  # ctypes finds libraries with ldconfig


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> LocalExecutor:
    """Return the executor `bubblewrap`. Raises: ExecutionError, UserError (as without `bwrap`)."""
    cuda = evaluation.device != "cpu"
    return create_wrapped("bubblewrap", _wrapper(cuda), splits, evaluation, task, pruner)


def _wrapper(cuda: bool) -> list[str]:
    """Return the `bwrap` command up to the program, with `cuda` showing it the GPU."""
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--chdir", "/"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # first: Python may lie below
    interpreter = {sys.executable, os.path.realpath(sys.executable), f"{sys.prefix}/pyvenv.cfg"}
    for path in sorted({*readable_paths(cuda), *interpreter, *_PROGRAMS}):
        words += ["--ro-bind-try", path, path]
    if cuda:
        for device in Path("/dev").glob("nvidia*"):
            words += ["--dev-bind", str(device), str(device)]
    return words
