"""Sample answers token by token, in a batch that shrinks as its rows end.

`generate` of transformers computes ended rows until the last one ends, copies the attention cache
for every token, and sorts the whole vocabulary, which takes half of the time on a CPU
(docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from nngpt.records import Sampling

Ids = torch.Tensor
_ROOM = 64
"""Number of tokens by which the attention cache grows at once."""


def sample_rows(
    model: Any,
    cache: DynamicCache,
    ids: Ids,
    sampling: Sampling,
    ended: Callable[[list[int]], bool],
    stopped: Callable[[], bool],
    constraint: Any = None,
    on_end: Callable[[int, list[int]], None] = lambda _number, _row: None,
) -> list[list[int]]:
    """Sample the tokens that follow each row of `ids`, until `ended` is true of a row.

    Args:
        cache: attention cache of all of `ids` [rows, t] but the last token.
        stopped: called after every token; True ends all rows.
        constraint: a logits processor of `transformers`; disables the shrinking of the batch.
        on_end: called with the number and the tokens of each row that ends.
    """
    rows: list[list[int]] = [[] for _ in ids]
    places, done = list(range(len(rows))), set[int]()
    for _ in range(sampling.max_new_tokens):
        output = model(
            input_ids=ids[:, -1:], past_key_values=cache, use_cache=True, logits_to_keep=1
        )
        scores = output.logits[:, -1].float()
        chosen = _sample_token(constraint(ids, scores) if constraint else scores, sampling)
        ids = torch.cat([ids, chosen], 1)
        for row, token in zip(places, chosen[:, 0].tolist(), strict=True):
            if row not in done:
                rows[row].append(token)
                if ended(rows[row]):
                    done.add(row)
                    on_end(row, rows[row])
        if len(done) == len(rows) or stopped():
            break
        open_ = [place for place, row in enumerate(places) if row not in done]
        if len(open_) < len(places) and constraint is None:
            kept = torch.tensor(open_, device=ids.device)
            places, ids = [places[place] for place in open_], ids[kept]
            cache.batch_select_indices(kept)
    return rows


def _sample_token(scores: torch.Tensor, sampling: Sampling) -> Ids:
    """Sample one token for each row of scores [rows, vocabulary]; return ids [rows, 1]."""
    if sampling.temperature == 0:
        return scores.argmax(-1, keepdim=True)
    tokens, shares = top_tokens(scores, sampling)
    return tokens.gather(-1, torch.multinomial(shares, 1))


def top_tokens(scores: torch.Tensor, sampling: Sampling) -> tuple[Ids, torch.Tensor]:
    """Filter by top-k, then top-p; return token ids and their weights, both [rows, k]."""
    count = min(sampling.top_k or scores.shape[-1], scores.shape[-1])
    best, tokens = (scores / sampling.temperature).topk(count)
    shares = best.softmax(-1)
    likelier = shares.cumsum(-1) - shares
    likelier[:, 0] = -1.0  # always keep the likeliest
    return tokens, shares.masked_fill(likelier >= sampling.top_p, 0.0)


def growing_cache(config: Any) -> DynamicCache:
    """Return an empty attention cache for sampling, which grows by many tokens at once."""
    cache = DynamicCache(config=config)
    cache.layers = [
        _GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [rows, heads, t, width], stored at the beginning of larger tensors."""

    keys: torch.Tensor
    values: torch.Tensor
    _key_room: torch.Tensor | None = None
    _value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *rest: Any, **named: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values; return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if not self.keys.numel():
            self.keys, self.values = key_states, value_states
        else:
            self._key_room, self.keys = _append(self._key_room, self.keys, key_states)
            self._value_room, self.values = _append(self._value_room, self.values, value_states)
        return self.keys, self.values


def _append(
    room: torch.Tensor | None, old: torch.Tensor, new: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Append `new` to `old` in a buffer, a larger one if full; return buffer and content."""
    before, after = old.shape[-2], old.shape[-2] + new.shape[-2]
    if room is None or room.data_ptr() != old.data_ptr() or after > room.shape[-2]:
        room = old.new_zeros((*old.shape[:-2], after + _ROOM, old.shape[-1]))
        room[..., :before, :] = old
    room[..., before:after, :] = new
    return room, room[..., :after, :]
