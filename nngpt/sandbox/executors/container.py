"""Executor `container`: like `local`, with its zygote in a container of your choice.

`evaluation.options.command` is the command that runs a program in the container, for example

    [podman, run, --rm, --network, none, --preserve-fds, "1", --rootfs, "/:O"]

The container needs Python, torch and nngpt at the same paths and must pass descriptor 3 on.
"""

from __future__ import annotations

from pydantic import field_validator

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.plugins import PluginOptions
from nngpt.protocols import Pruner
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor, create_wrapped


class Options(PluginOptions):
    """Options of the executor `container`.

    Attributes:
        command: command that runs a program in the container, as a list of words.
    """

    command: tuple[str, ...] = ()

    @field_validator("command")
    @classmethod
    def _require_command(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command:
            example = "[podman, run, --rm, --preserve-fds, '1', my-image]"
            raise ValueError(f"is empty. Give the command, e.g. {example}")
        return command


def create(
    splits: Splits,
    evaluation: EvaluationConfig,
    task: Task,
    pruner: Pruner | None = None,
    *,
    options: Options,
) -> LocalExecutor:
    """Return the executor `container`, its zygote started. Raises: UserError, ExecutionError."""
    return create_wrapped("container", options.command, splits, evaluation, task, pruner)
