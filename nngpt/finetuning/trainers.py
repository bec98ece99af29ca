"""What our uses of TRL's trainers share: how they are set up, and how the base is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import UserError
from nngpt.finetuning.tuning.optimizer import choose_optimizer
from nngpt.generation.models.loading import LoadedBase

CHECKPOINTS = "checkpoints"
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
"""The Trainer's name of each `learning.schedule`."""


def check_installed() -> None:
    """Raises: UserError if TRL is not there."""
    for package in ("trl", "datasets"):
        if find_spec(package) is None:
            raise UserError(
                f"this needs the package {package}, which is not installed",
                hint='Install it: pip install "nngpt[rl]"',
            )


def common_arguments(
    config: LearningConfig, base: LoadedBase, folder: Path, seed: int
) -> dict[str, Any]:
    """What every trainer of ours is told: device, precision, optimiser, silence."""
    import torch

    on_cpu = base.model.device.type == "cpu"
    bf16 = not on_cpu and torch.cuda.is_bf16_supported()
    paged = choose_optimizer(config.optimizer, on_cpu).startswith("paged")
    return {
        "output_dir": str(folder / CHECKPOINTS),
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "paged_adamw_8bit" if paged else "adamw_torch",
        "gradient_checkpointing": config.gradient_checkpointing,
        "disable_dropout": True,
        "bf16": bf16,
        "fp16": not on_cpu and not bf16,
        "use_cpu": on_cpu,
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "steps",
        "save_total_limit": 2,
        "logging_strategy": "steps",
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": not on_cpu,
    }


def on_one_gpu(arguments: Any) -> Any:
    """Several GPUs would multiply the batch; the settings mean what they say."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


@contextmanager
def borrowed(base: LoadedBase, trainer: Any) -> Iterator[None]:
    """The base is bare again afterwards, however the training ended."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    try:
        yield
    finally:
        base.model = trainer.model.unload()
        # TRL's own forward, which computes probabilities in parts, lies over the model's.
        vars(base.model).pop("forward", None)
