"""Faster kernels where they are installed and the model is on CUDA."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from nngpt.finetuning.tuning.attention import flash_attention


def use_liger(model: Any) -> None:
    """Replace the model's norms, gates and rotary embedding by Liger's, for good.

    To be done before anything is written with the model: the last bits differ, and a run that has
    learned must write as one that was resumed. The loss stays ours.
    """
    if liger(model.device.type):
        from transformers.integrations.liger import apply_liger_kernel

        apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})


def liger(device: str) -> bool:
    """True if Liger kernels are installed and can be used."""
    return device == "cuda" and find_spec("liger_kernel") is not None


def facts(device: str) -> str:
    """What is used, in words: ", Liger kernels, FlashAttention" or nothing."""
    used = [("Liger kernels", liger(device)), ("FlashAttention", flash_attention(device))]
    return "".join(f", {name}" for name, there in used if there)
