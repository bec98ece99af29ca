"""Training in stages with our own recipe: each stage continues where the one before it ended.

Runs in the worker only. A stage passes a number of images, or ends with its time, and follows a
piecewise-linear learning rate. Weights and the optimiser's state leave the worker as tensors and
come back with the next stage, so a training survives the end of its process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nngpt.sandbox.candidate_module import RejectedError
from nngpt.sandbox.replicas import Replicas
from nngpt.sandbox.tensors import STATE, WEIGHTS

CLIP = 5.0
_SMALL = 0.75
"""Side of small images, as a share of that of the others."""

_MOMENTUM = 0.9
_BETAS = (0.9, 0.98)
_KEYS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer",)}
"""Names of each optimiser's state of a parameter."""


class StagedTrainingLoop:
    """Cross-entropy with smoothed labels, SGD with Nesterov momentum or AdamW, gradients clipped.

    Weight decay applies to weights with two or more dimensions: not to biases or normalisation.
    With several threads, a CPU trains on the parts of a batch at once (`nngpt.sandbox.replicas`).
    """

    def __init__(self, net: Any, plan: Mapping[str, Any]) -> None:
        """Begin a stage of the network with a `TrainingStage` as JSON."""
        self._net, self._plan = net, plan
        self._names = {p: name for name, p in net.named_parameters() if p.requires_grad}
        if not self._names:
            raise RejectedError("the network has no weights to train")
        decayed, plain = (
            [p for p in self._names if (p.ndim > 1) is large] for large in (True, False)
        )
        groups = [
            {"params": decayed, "weight_decay": plan["weight_decay"]},
            {"params": plain, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self._optimiser: torch.optim.Optimizer
        if plan["optimiser"] == "adamw":
            self._optimiser = torch.optim.AdamW(groups, lr=0.0, betas=_BETAS)
        else:
            self._optimiser = torch.optim.SGD(groups, lr=0.0, momentum=_MOMENTUM, nesterov=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return weights and state, as the next stage needs them."""
        found = {WEIGHTS + name: tensor for name, tensor in self._net.state_dict().items()}
        for parameter, values in self._optimiser.state.items():
            name = self._names[parameter]
            for key, value in values.items():
                if isinstance(value, Tensor):
                    found[f"{STATE}{key}.{name}"] = value
        return found

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over the state of the stage before; another optimiser begins without one."""
        parameters = {name: parameter for parameter, name in self._names.items()}
        for name, tensor in tensors.items():
            key, _, parameter_name = name.removeprefix(STATE).partition(".")
            known = name.startswith(STATE) and key in _KEYS[self._plan["optimiser"]]
            if known and parameter_name in parameters:
                parameter = parameters[parameter_name]
                moved = tensor.clone() if key == "step" else tensor.to(parameter.device)
                self._optimiser.state[parameter][key] = moved

    def run(
        self,
        images: Tensor,
        labels: Tensor,
        transform: Callable[[Tensor], Tensor],
        seed: int,
        on_batch: Callable[[int], None],
    ) -> int:
        """Train for the stage; return the number of batches.

        Args:
            images: uint8 [n, c, h, w] on the device.
            labels: int64 [n] on the device.
            on_batch: called with the number of finished batches.
        """
        plan, done, passed, begun = self._plan, 0, 0, time.monotonic()
        seconds, smoothing = plan["seconds"], plan["label_smoothing"]
        points, rates = zip(*plan["schedule"], strict=True)
        small = plan["small"]
        with Replicas(self._net, min(plan["batch"], len(labels)), images.device) as replicas:
            for part in _batches(labels, plan, seed):
                progress = passed / plan["images"]
                if seconds is not None:
                    progress = max(progress, (time.monotonic() - begun) / seconds)
                if progress >= 1:
                    break
                for group in self._optimiser.param_groups:
                    group["lr"] = float(np.interp(progress, points, rates))
                shown, right = transform(images[part]), labels[part]
                if progress < small:
                    try:
                        replicas.backward(_small(shown), right, smoothing)
                    except Exception:
                        if done:
                            raise
                        small = 0.0  # generated networks need not take another size
                if progress >= small:
                    replicas.backward(shown, right, smoothing)
                nn.utils.clip_grad_norm_(self._net.parameters(), CLIP)
                self._optimiser.step()
                done, passed = done + 1, passed + len(part)
                on_batch(done)
        return done


def _small(images: Tensor) -> Tensor:
    """Return images [n, c, h, w] with three quarters of their sides."""
    return nn.functional.interpolate(images, scale_factor=_SMALL, mode="bilinear", antialias=True)


def _batches(labels: Tensor, plan: Mapping[str, Any], seed: int) -> Iterator[Tensor]:
    """Yield the indices of batches, from where the stage before ended; every epoch has its order.

    The last, smaller batch of an epoch is left out where there are others.
    """
    count = len(labels)
    batch = min(plan["batch"], count)
    per_epoch = count // batch
    number = plan["first"]
    while True:
        epoch, index = divmod(number, per_epoch)
        generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(count, generator=generator).to(labels.device)
        for start in range(index * batch, per_epoch * batch, batch):
            yield order[start : start + batch]
            number += 1
