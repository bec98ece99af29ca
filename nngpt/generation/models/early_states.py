"""Read a model's early layers only: what they know of a text costs a fifth of reading it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nngpt.errors import ModelError

if TYPE_CHECKING:
    import torch

SHARE = 0.2
"""Share of the layers that is read."""


def early_states(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Return the hidden states [n, t, d] of token ids [n, t] after the first fifth of the layers.

    Raises: ModelError if the model has no list of layers.
    """
    decoder = model.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not layers:
        what = f"the layers of {type(decoder).__name__} cannot be read one by one"
        hint = "Set candidates.choose_by to likelihood."
        raise ModelError(what, where="llm.model", hint=hint)
    found: list[torch.Tensor] = []

    def keep(_: Any, inputs: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    early = layers[: max(1, round(SHARE * len(layers)))]
    hook = early[-1].register_forward_hook(keep)
    decoder.layers = early
    try:
        decoder(input_ids=ids, use_cache=False)
    finally:
        decoder.layers = layers
        hook.remove()
    return found[0]
