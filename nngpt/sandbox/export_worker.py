"""Send a trained network's weights, and load a file of weights. Runs in the worker only.

All of its output is a claim; `nngpt.sandbox.tensors` and `nngpt.sandbox.exporter` check it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nngpt.sandbox import tensors, wire
from nngpt.sandbox.candidate_module import RejectedError


def send_weights(fd: int, state_dict: Callable[[], object]) -> None:
    """Send the weights that `state_dict` returns. Raises: RejectedError if not exportable."""
    wire.write_facts(fd, phase="weights")
    state = state_dict()
    if not isinstance(state, Mapping) or not state:
        raise RejectedError("state_dict gives no tensors")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise RejectedError(f"state_dict holds a {type(tensor).__name__}, not only tensors")
        if nn.parameter.is_lazy(tensor):
            raise RejectedError(f"the tensor {name!r} was never used, so it has no shape")
    headers = [
        {"tensor": str(name), "dtype": str(t.dtype).removeprefix("torch."), "shape": [*t.shape]}
        for name, t in state.items()
    ]
    _check_rules(headers)
    wire.write_facts(fd, tensors=len(state))
    for header, tensor in zip(headers, state.values(), strict=True):
        plain = tensor.detach().cpu().contiguous()
        wire.write_facts(fd, **header)
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        wire.write_frame(fd, wire.TENSOR, data)


def _check_rules(headers: list[dict[str, Any]]) -> None:
    """Reject tensors that the parent would take for an attack, though an honest network has them.

    Raises: RejectedError if a name, type or size breaks a rule.
    """
    try:
        rules = tensors.TensorRules(len(headers))
        for header in headers:
            rules.admit(header)
    except wire.WireError as problem:
        raise RejectedError(f"the weights cannot be exported: {problem}") from None


def load_weights(net: Any, set_up: Callable[[], object], state: Mapping[str, Tensor]) -> bool:
    """Load exported weights into a fresh network; return True if `train_setup` was needed first.

    Raises: RejectedError if the network has other tensors.
    """
    try:
        net.load_state_dict(state)
    except RuntimeError:  # train_setup may add tensors: a loss with weights, say
        set_up()
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).partition("\n")[2].strip()[:200]
            raise RejectedError(f"the weights do not fit a fresh network: {first}") from None
        return True
    return False


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file; none of no bytes."""
    from safetensors.torch import load

    return dict(load(data)) if data else {}
