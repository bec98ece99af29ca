"""Choose and create the optimiser and the learning-rate schedule."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import ModelError

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""Name in `transformers` of each `learning.schedule`."""


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
            hint="Use optimizer: auto, or pip install nngpt[cuda].",
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


def make_schedule(optimizer: Any, settings: LearningConfig, steps: int) -> Any:
    """Return the learning-rate schedule over `steps` steps: a warm-up, then `learning.schedule`."""
    from transformers import get_scheduler

    name = SCHEDULES[settings.schedule]
    return get_scheduler(name, optimizer, settings.warmup_steps, steps)
