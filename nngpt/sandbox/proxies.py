"""Zero-cost proxies of an untrained network, from one batch. Runs in the worker: they are claims.

Proxies are computed on copies of the network; afterwards random states, weights and buffers are as
before, so the training that follows is the same with and without.

- `synflow`: H. Tanaka et al., Pruning neural networks without any data by iteratively conserving
  synaptic flow (2020), summed over weights as in M. Abdelfattah et al., Zero-Cost Proxies for
  Lightweight NAS (2021).
- `jacob_cov`: J. Mellor et al., Neural Architecture Search without Training (first version, 2020).
- `grad_norm`: M. Abdelfattah et al. (2021).
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nngpt.records import Proxy

IMAGES = 64
"""Number of training images in the batch, as in Abdelfattah et al."""

_K = 1e-5
_BATCH_NORMS = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
_DROPOUTS = nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout


def measure(
    net: Any, images: Tensor, labels: Tensor, transform: Callable[[Tensor], Tensor]
) -> dict[str, float | None]:
    """Return a network's proxies, each None if it cannot be computed or is not finite.

    All networks see the same images.

    Args:
        images: training images, uint8 [n, c, h, w].
        labels: their labels, int64 [n].
        transform: applied to the images of the batch.
    """
    with _unchanged(net, images.device):
        found = {}
        for name, proxy in _PROXIES.items():
            torch.manual_seed(0)
            part = torch.randperm(len(labels))[:IMAGES].to(labels.device)
            try:
                value = proxy(copy.deepcopy(net), transform(images[part]), labels[part])
            except Exception:  # noqa: BLE001 (generated code; its training may run all the same)
                value = math.nan
            found[str(name)] = value if math.isfinite(value) else None
        return found


@contextmanager
def _unchanged(net: Any, device: torch.device) -> Iterator[None]:
    """Restore random states, weights and buffers, which code in a copy may still refer to."""
    tensors = [t for t in (*net.parameters(), *net.buffers()) if not nn.parameter.is_lazy(t)]
    kept = [tensor.detach().clone() for tensor in tensors]
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    with torch.no_grad():
        for tensor, before in zip(tensors, kept, strict=True):
            tensor.copy_(before)


def _synflow(net: Any, images: Tensor, _labels: Tensor) -> float:
    """Return the sum of |weight × gradient| of the summed output for an image of ones.

    All weights are made positive, and batch normalisation passes its input through.
    """
    net.eval().double()
    for module in net.modules():
        if isinstance(module, _BATCH_NORMS):
            module.reset_parameters()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.abs_()
    ones = torch.ones_like(images[:1], dtype=torch.float64)
    weights = _weights(net)
    gradients = torch.autograd.grad(_logits(net, ones).sum(), weights, allow_unused=True)
    pairs = zip(weights, gradients, strict=True)
    return sum(float((w.detach() * g).abs().sum()) for w, g in pairs if g is not None)


def _jacob_cov(net: Any, images: Tensor, _labels: Tensor) -> float:
    """Return how little the gradients of the summed output correlate between images.

    It is −Σ [ln(v + k) + 1 / (v + k)] over the eigenvalues v of the matrix of correlations.
    """
    images = images.detach().requires_grad_()
    logits = _logits(_in_training(net), images)
    (jacobian,) = torch.autograd.grad(logits.sum(), images)
    values = torch.linalg.eigvalsh(torch.corrcoef(jacobian.flatten(1).double())) + _K
    return -float((values.log() + 1 / values).sum())


def _grad_norm(net: Any, images: Tensor, labels: Tensor) -> float:
    """Return the sum over weights of the Euclidean norm of the loss's gradient."""
    loss = nn.functional.cross_entropy(_logits(_in_training(net), images), labels)
    gradients = torch.autograd.grad(loss, _weights(net), allow_unused=True)
    return sum(float(g.norm()) for g in gradients if g is not None)


_PROXIES: dict[Proxy, Callable[[Any, Tensor, Tensor], float]] = {
    Proxy.SYNFLOW: _synflow,
    Proxy.JACOB_COV: _jacob_cov,
    Proxy.GRAD_NORM: _grad_norm,
}


def _in_training(net: Any) -> Any:
    """Put a network in training mode, without dropout: its noise differs between images."""
    net.train()
    for module in net.modules():
        if isinstance(module, _DROPOUTS):
            module.eval()
    return net


def _weights(net: Any) -> list[Tensor]:
    """Return a network's weights: not its biases, nor the vectors of normalisation."""
    return [p for p in net.parameters() if p.requires_grad and p.ndim > 1]


def _logits(net: Any, images: Tensor) -> Tensor:
    """Return a network's output [b, classes], the first one of several."""
    logits = net(images)
    first: Tensor = logits[0] if isinstance(logits, tuple | list) else logits
    return first
