"""Our own training loop, which measures a network without its `train_setup` and `learn`.

A network that would be admitted is trained once more with this loop and another seed. The result
reveals an accuracy that depends on the network's own loop, and a loop that trains too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LR, MOMENTUM, CLIP = 0.01, 0.9, 1.0


class PlainTrainingLoop:
    """SGD on cross-entropy, with gradients clipped at norm 1.

    Learning rate and momentum are the network's hyperparameters `lr` and `momentum` if it has
    them, else 0.01 and 0.9.
    """

    def __init__(self, net: Any, hyperparameters: Mapping[str, Any]) -> None:
        self._net = net
        self._optimiser = torch.optim.SGD(
            net.parameters(),
            lr=float(hyperparameters.get("lr", LR)),
            momentum=float(hyperparameters.get("momentum", MOMENTUM)),
        )

    def learn(self, train_data: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Train for one epoch on batches of (images [b, c, h, w], labels [b])."""
        for images, labels in train_data:
            self._optimiser.zero_grad()
            loss = nn.functional.cross_entropy(self._net(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._net.parameters(), CLIP)
            self._optimiser.step()
