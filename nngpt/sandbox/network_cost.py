"""Measure a network's parameters, FLOPs and latency. Runs in the worker: the figures are claims."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nngpt.records import MOST_AXES, MOST_LAYERS

_WARM_UP = 3
_RUNS = 20
_MOST_S = 0.5
_LETTERS = 40


def parameters(net: Any) -> int:
    """Return a network's number of trainable parameters, part of its cost."""
    lazy = nn.parameter.UninitializedParameter
    return sum(p.numel() for p in net.parameters() if p.requires_grad and not isinstance(p, lazy))


def flops(net: Any, image: Tensor) -> int | None:
    """Count a network's floating-point operations in the forward pass of an image [1, c, h, w].

    Torch's counter counts matrix products and convolutions, and a multiply-add as two operations.
    Return None if the network cannot run under the counter.
    """
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            net(image)
    except Exception:  # noqa: BLE001 (generated code under a tracer; it has run without one)
        return None
    return int(counter.get_total_flops())


def layers(net: Any, image: Tensor) -> list[tuple[str, list[int]]]:
    """Return class and output shape of the layers that an image [1, c, h, w] passes, in order.

    Layers are modules without modules inside; shapes are without the batch. Return no layers if
    the network cannot run while they are noted.
    """
    found: list[tuple[str, list[int]]] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        shape = list(output.shape[1:]) if isinstance(output, Tensor) else None
        if shape is not None and len(shape) <= MOST_AXES and len(found) < MOST_LAYERS:
            found.append((type(module).__name__[:_LETTERS], shape))

    leaves = [module for module in net.modules() if not any(True for _ in module.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        with torch.no_grad():
            net(image)
    except Exception:  # noqa: BLE001 (generated code with hooks; it has run without them)
        return []
    finally:
        for hook in hooks:
            hook.remove()
    return found


def latency_ms(net: Any, image: Tensor) -> float:
    """Return a network's median milliseconds in the forward pass of an image [1, c, h, w]."""
    begun = time.monotonic()
    times: list[float] = []
    clock = _cuda_ms if image.is_cuda else _cpu_ms
    with torch.no_grad():
        for _ in range(_WARM_UP):
            net(image)
        while len(times) < _RUNS and (not times or time.monotonic() - begun < _MOST_S):
            times.append(clock(net, image))
    return statistics.median(times)


def _cpu_ms(net: Any, image: Tensor) -> float:
    start = time.perf_counter()
    net(image)
    return (time.perf_counter() - start) * 1000


def _cuda_ms(net: Any, image: Tensor) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    net(image)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
