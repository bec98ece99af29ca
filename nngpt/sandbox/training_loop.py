"""Our own training loop: what a network is worth without its own `train_setup` and `learn`.

A network that would be admitted is trained with it once more, with another seed. An accuracy
that needs the network's own loop is then seen, and so is a loop that trains longer than it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LR, MOMENTUM, CLIP = 0.01, 0.9, 1.0


class PlainLoop:
    """SGD on cross-entropy, gradients clipped at norm 1.

    Learning rate and momentum are the network's own hyperparameters `lr` and `momentum` if it
    has them, else 0.01 and 0.9.
    """

    def __init__(self, net: Any, hyperparameters: Mapping[str, Any]) -> None:
        self._net = net
        self._optimiser = torch.optim.SGD(
            net.parameters(),
            lr=float(hyperparameters.get("lr", LR)),
            momentum=float(hyperparameters.get("momentum", MOMENTUM)),
        )

    def learn(self, train_data: Iterable[tuple[Tensor, Tensor]]) -> None:
        """One epoch."""
        for images, labels in train_data:
            self._optimiser.zero_grad()
            loss = nn.functional.cross_entropy(self._net(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._net.parameters(), CLIP)
            self._optimiser.step()
