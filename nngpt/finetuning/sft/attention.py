"""Attention over packed rows, registered as an attention implementation of `transformers`.

On CUDA it uses PyTorch's FlashAttention kernel for sequences of different lengths; elsewhere, and
in float32, PyTorch's ordinary attention, once for each span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nngpt.finetuning.sft.packing import RowSpan, SpanLengths

if TYPE_CHECKING:
    import torch

_PACKED = "nngpt_packed"


def can_pack(model: Any) -> bool:
    """Return True if rows can be packed: the model has plain causal attention to replace."""
    config = model.config.get_text_config()
    special = ("sliding_window", "attn_logit_softcapping", "attention_chunk_size")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        bool(getattr(model, "_supports_attention_backend", False))
        and kinds == {"full_attention"}
        and not any(getattr(config, key, None) for key in special)
    )


def has_flash_attention(device: str) -> bool:
    """Return True if FlashAttention's kernel can be used: on CUDA, Ampere or later."""
    import torch

    return device == "cuda" and torch.cuda.get_device_capability() >= (8, 0)


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Make the model accept packed rows: `spans` and, for FlashAttention, `lengths`; a context."""
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    AttentionInterface.register(_PACKED, attend)
    model.set_attn_implementation(_PACKED)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    spans: Sequence[RowSpan],
    lengths: SpanLengths | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output [1, t, h, d] of a packed row of t tokens.

    Args:
        query: [1, h, t, d].
        key: [1, k, t, d], where h is a multiple of k.
        value: [1, k, t, d].
        spans: spans of the row, in order and without gaps.
        lengths: the spans as FlashAttention needs them; None to compute span by span.
    """
    import torch

    # Rotary embedding may return float32; the kernels below need one dtype.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if lengths is not None and value.dtype != torch.float32 and not dropout:
        return _all_at_once(query, key, value, lengths, scaling), None
    return _span_by_span(query, key, value, spans, scaling, dropout), None


def _all_at_once(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: SpanLengths,
    scaling: float | None,
) -> torch.Tensor:
    """Compute all spans with one FlashAttention call; keys are repeated for each group of heads."""
    from torch.nn.attention.varlen import varlen_attn

    group = query.shape[1] // key.shape[1]
    keys, values = (
        x[0].transpose(0, 1)[lengths.keys].repeat_interleave(group, dim=1) for x in (key, value)
    )
    output: Any = varlen_attn(
        query[0].transpose(0, 1).contiguous(),
        keys,
        values,
        lengths.query_starts,
        lengths.key_starts,
        lengths.longest_query,
        lengths.longest_key,
        scale=scaling,
        window_size=(-1, 0),  # causal; the last query is aligned with the last key
    )
    packed: torch.Tensor = output[None]
    return packed


def _span_by_span(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spans: Sequence[RowSpan],
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    """Compute each span with PyTorch's attention, its prefix's keys before its own."""
    import torch
    from torch.nn.attention.bias import causal_lower_right
    from torch.nn.functional import scaled_dot_product_attention

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
    return torch.cat(pieces, dim=2).transpose(1, 2)
