"""Executors whose zygote a wrapper command starts: bubblewrap, or a container engine."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from nngpt.config import EvaluationConfig
from nngpt.errors import UserError
from nngpt.protocols import Pruner
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.zygote_client import SharedZygote

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


def wrapped_executor(
    name: str,
    wrapper: Sequence[str],
    splits: Splits,
    evaluation: EvaluationConfig,
    task: Task,
    pruner: Pruner | None,
) -> LocalExecutor:
    """Return an executor like `local` whose zygote the command `wrapper` starts.

    Args:
        name: name of the wrapper, for the containment level.

    Raises:
        UserError: the wrapper's program is not installed, or as `LocalExecutor` raises.
        ExecutionError: as `LocalExecutor` raises.
    """
    if shutil.which(wrapper[0]) is None:
        raise UserError(
            f"the program {wrapper[0]!r} is not installed",
            where="evaluation.executor",
            hint="Install it, or use evaluation.executor=local",
        )
    return LocalExecutor(splits, evaluation, task, pruner, _zygote(tuple(wrapper)), around=name)


@lru_cache
def _zygote(wrapper: tuple[str, ...]) -> SharedZygote:
    return SharedZygote(wrapper)
