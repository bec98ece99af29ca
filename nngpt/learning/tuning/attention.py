"""Attention over packed rows, as an attention implementation of `transformers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from nngpt.learning.tuning.packing import Span

if TYPE_CHECKING:
    import torch

_NAME = "nngpt_packed"


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


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Within, the model takes a row's spans as argument `spans`."""
    before = model.config._attn_implementation
    _register()
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@cache
def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)


def _attend(
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
    from torch.nn.functional import scaled_dot_product_attention

    pieces = []
    for span in spans:
        own = slice(span.start, span.stop)
        keys, values, mask = key[:, :, own], value[:, :, own], None
        if span.prefix is not None:
            shared = slice(*span.prefix)
            keys = torch.cat([key[:, :, shared], keys], dim=2)
            values = torch.cat([value[:, :, shared], values], dim=2)
            mask = _lower_right(span.stop - span.start, keys.shape[2], query.device)
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


def _lower_right(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """[queries, keys]: the last query sees all keys, the one before it all but the last …"""
    import torch

    mask = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return mask.tril_(keys - queries)
