"""Use faster kernels where they are installed and the model is on CUDA."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from nngpt.finetuning.sft.attention import has_flash_attention


def use_liger(model: Any) -> None:
    """Replace the model's norms, gates and rotary embedding by Liger's, where installed.

    Call this before the model writes anything: the last bits differ, and a run that has trained
    must write the same answers as one that was resumed. The loss stays our own.
    """
    if has_liger(model.device.type):
        from transformers.integrations.liger import apply_liger_kernel

        apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})


def has_liger(device: str) -> bool:
    """Return True if Liger kernels are installed and the device is CUDA."""
    return device == "cuda" and find_spec("liger_kernel") is not None


def facts(device: str) -> str:
    """Name the kernels in use, such as ", Liger kernels, FlashAttention"; "" for none."""
    known = (("Liger kernels", has_liger(device)), ("FlashAttention", has_flash_attention(device)))
    return "".join(f", {name}" for name, used in known if used)
