"""Executor `container`: all of `local`, with its zygote in a container of your choice.

`evaluation.container` is the command that runs a program in it, for example

    [podman, run, --rm, --network, none, --preserve-fds, "1", --rootfs, "/:O"]

It needs the same Python, torch and nngpt at the same paths inside, and must pass descriptor 3 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nngpt.config import EvaluationConfig
from nngpt.errors import ConfigError
from nngpt.protocols import Pruner
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.wrapped import wrapped

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


def create(
    splits: Splits, evaluation: EvaluationConfig, task: Task, pruner: Pruner | None = None
) -> LocalExecutor:
    """The executor. Raises: UserError, ExecutionError as `local` does, or without a command."""
    if not evaluation.container:
        raise ConfigError(
            "is empty",
            where="evaluation.container",
            hint="Give the command, e.g. [podman, run, --rm, --preserve-fds, '1', my-image]",
        )
    return wrapped("container", evaluation.container, splits, evaluation, task, pruner)
