"""Replicas of a network that share its weights, so that several cores train on one batch.

Each replica computes the gradients of its part of a batch in a thread of its own. On a CPU that is
faster than several threads for each operation, which wait for each other thousands of times a
batch. Batch normalisation sees the parts; its running statistics are averaged at the end. Runs in
the worker only.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

_SMALLEST = 16
"""Images of a part at least: batch normalisation needs some."""


class Replicas:
    """A network and its replicas; a context in which each operation uses one thread.

    With one thread, on a GPU or with small batches there is only the network itself, and the
    context changes nothing.
    """

    def __init__(self, net: Any, batch: int, device: torch.device) -> None:
        self._nets, self._threads = [net], torch.get_num_threads()
        self._autocast = torch.is_autocast_enabled("cpu")  # threads do not inherit it
        count = min(self._threads, batch // _SMALLEST) if device.type == "cpu" else 1
        try:
            self._nets += [_replica(net) for _ in range(count - 1)]
        except Exception:  # noqa: BLE001 (generated networks need not be copyable)
            self._nets = [net]
        self._pool = ThreadPoolExecutor(len(self._nets))

    def __enter__(self) -> Self:
        if len(self._nets) > 1:
            torch.set_num_threads(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self._threads)
        with torch.no_grad():
            for buffers in zip(*(net.buffers() for net in self._nets), strict=True):
                if len(buffers) > 1 and buffers[0].is_floating_point():
                    buffers[0].copy_(torch.stack(buffers).mean(0))

    def backward(self, images: Tensor, labels: Tensor, smoothing: float) -> None:
        """Compute the gradients of a batch's mean cross-entropy, with smoothed labels.

        Gradients of before are dropped. Of several outputs in training (auxiliary classifiers) the
        first counts.
        """
        for net in self._nets:
            net.zero_grad(set_to_none=True)
        if len(self._nets) == 1:
            _loss(self._nets[0], images, labels, smoothing).backward()  # type: ignore[no-untyped-call]
            return
        count = len(self._nets)
        parts = zip(images.chunk(count), labels.chunk(count), strict=True)

        def train(net: Any, part: Tensor, of_part: Tensor) -> None:
            share = len(part) / len(images)
            with torch.autocast("cpu", torch.bfloat16, self._autocast, cache_enabled=False):
                loss = share * _loss(net, part, of_part, smoothing)
            loss.backward()  # type: ignore[no-untyped-call]

        jobs = [
            self._pool.submit(train, net, *part)
            for net, part in zip(self._nets, parts, strict=False)
        ]
        wait(jobs)  # a part that fails leaves no other one at work
        for job in jobs:
            job.result()
        for first, *others in zip(*(net.parameters() for net in self._nets), strict=True):
            grads = [one.grad for one in (first, *others) if one.grad is not None]
            first.grad = sum(grads[1:], grads[0]) if grads else None


def _replica(net: Any) -> Any:
    """Return a copy of a network with the same weights in the same memory, and own buffers."""
    made = copy.deepcopy(net)
    for weight, shared in zip(net.parameters(), made.parameters(), strict=True):
        shared.data = weight.data
    return made


def _loss(net: Any, images: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    logits = net(images)
    logits = logits[0] if isinstance(logits, tuple | list) else logits
    return nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
