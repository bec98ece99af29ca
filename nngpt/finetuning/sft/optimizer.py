"""Choose and create the optimiser and the learning-rate schedule."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import ModelError


def choose_optimizer(wanted: str, on_cpu: bool) -> str:
    """Return the wanted optimiser; "auto" is "paged_adamw_8bit" on CUDA with bitsandbytes.

    Raises:
        ModelError: the paged optimiser is wanted and bitsandbytes is not installed.
    """
    installed = find_spec("bitsandbytes") is not None
    if wanted == "paged_adamw_8bit" and not installed:
        raise ModelError(
            "paged_adamw_8bit needs bitsandbytes",
            where="learning.optimizer",
            hint="Install the extra cuda (pip install bitsandbytes), or use optimizer: adamw.",
        )
    if wanted != "auto":
        return wanted
    return "paged_adamw_8bit" if installed and not on_cpu else "adamw"


def make_optimizer(name: str, weights: list[Any], settings: LearningConfig) -> Any:
    """Return the optimiser that `choose_optimizer` named, for these weights."""
    import torch

    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if name == "paged_adamw_8bit":
        from bitsandbytes.optim import AdamW8bit, PagedAdamW8bit

        # Only a GPU's memory can be paged.
        adamw = AdamW8bit if weights[0].device.type == "cpu" else PagedAdamW8bit
        return adamw(weights, **options)
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
