"""Optimiser and learning-rate schedule."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import ModelError

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def choose_optimizer(wanted: str, on_cpu: bool) -> str:
    """Paged 8-bit AdamW on CUDA, plain AdamW on a CPU.

    Raises:
        ModelError: the paged one is asked for where it cannot run.
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
    """The optimiser that `choose_optimizer` named."""
    import torch

    options: dict[str, Any] = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
    }
    if name == "paged_adamw_8bit":
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(weights, **options)
    return torch.optim.AdamW(weights, **options)


def make_schedule(optimizer: Any, settings: LearningConfig, steps: int) -> Any:
    """The learning rate over `steps`: first a warm-up, then as `learning.schedule` says."""
    from transformers import get_scheduler

    name = _SCHEDULES[settings.schedule]
    return get_scheduler(name, optimizer, settings.warmup_steps, steps)
