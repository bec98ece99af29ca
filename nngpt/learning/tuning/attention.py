"""Attention over packed rows, as an attention implementation of `transformers`.

FlashAttention's kernel for sequences of different lengths where that package is installed and the
model is on CUDA; elsewhere PyTorch's own attention, once for each span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nngpt.learning.tuning.packing import Lengths, Span

if TYPE_CHECKING:
    import torch

_SPANS, _FLASH = "nngpt_packed", "nngpt_packed_flash"


def can_pack(model: Any) -> bool:
    """True if the model's attention can be replaced, and is plain causal attention."""
    config = model.config.get_text_config()
    special = ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and kinds == {"full_attention"}
        and not any(getattr(config, key, None) for key in special)
    )


def flash_attention(device: str) -> bool:
    """True if FlashAttention is installed and can be used."""
    return device == "cuda" and find_spec("flash_attn") is not None


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Within, the model takes a row's `spans` or, with FlashAttention, `lengths`."""
    before = model.config._attn_implementation
    _register()
    model.set_attn_implementation(_FLASH if flash_attention(model.device.type) else _SPANS)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@cache
def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_SPANS, _attend_by_span)
    AttentionInterface.register(_FLASH, _attend_by_flash)


def _attend_by_span(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    spans: Sequence[Span],
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, h, t, d], key and value [1, h or fewer, t, d] → [1, t, h, d]."""
    import torch
    from torch.nn.attention.bias import causal_lower_right
    from torch.nn.functional import scaled_dot_product_attention

    # Rotary embedding may have left them in float32; the kernels below want one dtype.
    query, key = query.to(value.dtype), key.to(value.dtype)
    pieces = []
    for span in spans:
        own = slice(span.start, span.stop)
        keys, values, mask = key[:, :, own], value[:, :, own], None
        if span.prefix is not None:
            shared = slice(*span.prefix)
            keys = torch.cat([key[:, :, shared], keys], dim=2)
            values = torch.cat([value[:, :, shared], values], dim=2)
            mask = causal_lower_right(span.stop - span.start, keys.shape[2])
        pieces.append(
            scaled_dot_product_attention(
                query[:, :, own],
                keys,
                values,
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=key.shape[1] != query.shape[1],
            )
        )
    return torch.cat(pieces, dim=2).transpose(1, 2), None


def _attend_by_flash(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    lengths: Lengths,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As `_attend_by_span`, in one call: a span's keys are its prefix's and its own."""
    from flash_attn import flash_attn_varlen_func

    query, key = query.to(value.dtype), key.to(value.dtype)
    # From FlashAttention 2.1 on, `causal` aligns the last query with the last key.
    output = flash_attn_varlen_func(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1)[lengths.keys],
        value[0].transpose(0, 1)[lengths.keys],
        lengths.query_starts,
        lengths.key_starts,
        lengths.longest_query,
        lengths.longest_key,
        dropout_p=dropout,
        softmax_scale=scaling,
        causal=True,
    )
    return output[None], None
