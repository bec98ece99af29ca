"""Compute the losses of answer tokens in chunks, so that not all logits are in memory at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_CHUNK = 512
"""Number of tokens whose logits are in memory at once."""


def output_weight(model: Any) -> torch.Tensor | None:
    """Return the output layer's weight [v, d] if logits are the hidden states times it, else None.

    The product is compared with the model's logits for eight tokens, because some models scale or
    cap their logits.
    """
    import torch

    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or getattr(head, "bias", None) is not None:
        return None
    ids = torch.arange(8, device=model.device)[None] % head.out_features
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        again = torch.nn.functional.linear(hidden, head.weight)
        same = torch.allclose(again, logits, rtol=1e-3, atol=1e-3)
    return head.weight if same else None


def token_losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy [n] of each of the targets [n] for hidden states [n, d].

    Args:
        weight: weight of the output layer [v, d]; it is frozen and gets no gradient.
    """
    losses: torch.Tensor = _function().apply(hidden, weight.detach(), targets)
    return losses


@cache
def _function() -> Any:
    """Define the autograd function on first use, so that importing this module imports no torch."""
    import torch

    class TokenLosses(torch.autograd.Function):
        """Computes losses and gradients together, chunk by chunk, so that no logits are kept."""

        @staticmethod
        def forward(
            ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
        ) -> torch.Tensor:
            gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
            losses = torch.empty(len(hidden), device=hidden.device)
            for start in range(0, len(hidden), _CHUNK):
                part = slice(start, start + _CHUNK)
                logits = (hidden[part].to(weight.dtype) @ weight.T).float()
                normaliser = logits.logsumexp(dim=1, keepdim=True)
                wanted = targets[part, None]
                losses[part] = (normaliser - logits.gather(1, wanted))[:, 0]
                if gradient is not None:
                    shares = logits.sub_(normaliser).exp_()
                    shares.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=shares.dtype))
                    gradient[part] = shares.to(weight.dtype) @ weight
            ctx.gradient = gradient
            return losses

        @staticmethod
        def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
            return (ctx.gradient * upstream[:, None]).to(ctx.gradient.dtype), None, None

    return TokenLosses
