"""Choose and create the optimiser and the learning-rate schedule."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import ModelError


def choose_optimizer(wanted: str, on_cpu: bool) -> str:
    """Return "paged_adamw_8bit" on CUDA with bitsandbytes, else "adamw", unless `wanted` names one.

    Raises:
        ModelError: the paged optimiser is wanted where it cannot run.
    """
    paged = not on_cpu and find_spec("bitsandbytes") is not None
    if wanted == "paged_adamw_8bit" and not paged:
        raise ModelError(
            "paged_adamw_8bit needs a CUDA device and bitsandbytes",
            where="learning.optimizer",
            hint="Use optimizer: adamw, or install the extra cuda (pip install bitsandbytes).",
        )
    return "paged_adamw_8bit" if paged and wanted != "adamw" else "adamw"


def make_optimizer(name: str, weights: list[Any], settings: LearningConfig) -> Any:
    """Return the optimiser that `choose_optimizer` named, for these weights."""
    import torch

    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if name == "paged_adamw_8bit":
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(weights, **options)
    return torch.optim.AdamW(weights, **options)


def make_schedule(optimizer: Any, name: str, warmup_steps: int, steps: int) -> Any:
    """Return the learning-rate schedule over `steps` steps: a warm-up, then the named decay.

    The warm-up takes at most a tenth of the steps, and no step has a rate of 0.

    Args:
        name: "cosine", "linear" or "constant".
    """
    from torch.optim.lr_scheduler import LambdaLR

    warmup = min(warmup_steps, steps // 10)

    def share_of_rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = (step - warmup) / (steps - warmup)
        return {"cosine": (1 + math.cos(math.pi * done)) / 2, "linear": 1 - done}.get(name, 1.0)

    return LambdaLR(optimizer, share_of_rate)
