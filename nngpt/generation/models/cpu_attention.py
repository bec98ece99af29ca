"""Faster CPU attention for decoding one token at a time.

torch's fused CPU attention is made for long queries. With one query per row and heads that share
keys, it took two thirds of the generation time (docs/sft.md), so plain matrix products replace it
there. All other cases still use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_NAME = "nngpt_decoding"


@contextmanager
def fast_cpu_attention(model: Any) -> Iterator[None]:
    """Use the faster CPU attention within the context, if the model supports fused attention."""
    before = model.config._attn_implementation
    if model.device.type != "cpu" or before != "sdpa":
        yield
        return
    _register()
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@cache
def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attend: query [b, h, 1, d], key and value [b, h or fewer, t, d] → [b, 1, h, d]."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    batch, heads, length, width = query.shape
    if length > 1 or mask is not None or value.shape[-1] != width:
        return sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, **rest)  # type: ignore[no-any-return]
    shared, filled = key.shape[1:3]
    grouped = query.reshape(batch, shared, heads // shared, width)
    scores = grouped @ _room(key).transpose(2, 3) * (width**-0.5 if scaling is None else scaling)
    scores[..., filled:] = -torch.inf
    weights = scores.float().softmax(-1).to(query.dtype)
    return (weights @ _room(value)).reshape(batch, 1, heads, width), None


def _room(part: torch.Tensor) -> torch.Tensor:
    """Return the whole buffer behind keys or values [b, h, t, d] (see `sampling`).

    Matrix products copy a tensor with gaps between its matrices; including the gaps' zeros is
    quicker.
    """
    _, shared, filled, width = part.shape
    places = part.stride(1) // width
    dense = (shared * places * width, places * width, width, 1)
    if places <= filled or part.stride() != dense or part.storage_offset():
        return part
    return part.as_strided((len(part), shared, places, width), dense)
