"""The executor `local` with its zygote inside something else: bubblewrap, or a container."""

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


def wrapped(
    name: str,
    wrapper: Sequence[str],
    splits: Splits,
    evaluation: EvaluationConfig,
    task: Task,
    pruner: Pruner | None,
) -> LocalExecutor:
    """An executor whose zygote `wrapper` starts.

    Raises:
        UserError: the wrapper's program is not installed, or what `LocalExecutor` raises.
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
