"""Put a block into a small network that the evaluator can build, run and train.

The candidate's process imports the block's file, builds the block with guessed arguments, and
passes it tensors of several shapes until one fits.
"""

from __future__ import annotations

from nngpt.retrieval.constructor_arguments import WIDTH, guess_arguments

CONSTRUCT, FORWARD = "cannot be built:", "takes no such input:"
"""Beginnings of refusal reasons that do not come from importing the file."""

_SHAPES = (
    ((WIDTH, 16, 16), False),
    ((16, WIDTH), True),
    ((WIDTH,), False),
    ((3, 32, 32), False),
    ((WIDTH, 16), False),
    ((256, WIDTH), True),
    ((16, 16, WIDTH), True),
    ((WIDTH, 4, 8, 8), False),
)
"""Shape of one input, and whether its channels come last."""

_NETWORK = '''

# --- the block in a network, by nngpt
import torch as _torch
from torch import nn as _nn


def supported_hyperparameters():
    return {{"lr", "momentum"}}


def _first(found):
    """The first floating tensor in what a block returns."""
    if isinstance(found, _torch.Tensor):
        return found if found.is_floating_point() else None
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, (list, tuple)):
        for one in found:
            tensor = _first(one)
            if tensor is not None:
                return tensor
    return None


class _Inputs(_nn.Module):
    """Images [b, c, h, w] as [b, *shape]."""

    def __init__(self, channels, shape, last):
        super().__init__()
        self.shape, self.last = shape, last
        width = shape[-1] if last else shape[0]
        positions = _torch.Size(shape).numel() // width
        side = int(positions**0.5)
        self.stem = _nn.Conv2d(channels, width, 1)
        self.grid = (side, positions // side)

    def forward(self, x):
        x = _nn.functional.adaptive_avg_pool2d(self.stem(x), self.grid).flatten(2)
        x = x.transpose(1, 2) if self.last else x
        return x.reshape(x.shape[0], *self.shape)


def _build(channels):
    """The block and its inputs, or why there is none."""
    why = "{construct} it has required arguments without a keyword"
    for attempt in ({attempts}):
        try:
            block = attempt()
        except Exception as error:
            why = f"{construct} {{type(error).__name__}}: {{error}}"
            continue
        for shape, last in {shapes}:
            inputs = _Inputs(channels, shape, last)
            try:
                with _torch.no_grad():
                    found = _first(block(inputs(_torch.randn(2, channels, 16, 16))))
            except Exception as error:
                if not why.startswith("{forward}"):
                    why = f"{forward} {{type(error).__name__}}: {{error}}"
                continue
            if found is not None and found.dim() and found.shape[0] == 2:
                return inputs, block
            why = "{forward} it returns no tensor for each image"
    raise RuntimeError(why[:300])


class Net(_nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.inputs, self.block = _build(in_shape[1])
        self.head = _nn.Linear(32, out_shape[0])

    def forward(self, x):
        found = _first(self.block(self.inputs(x))).flatten(1).unsqueeze(1)
        return self.head(_nn.functional.adaptive_avg_pool1d(found, 32).squeeze(1))

    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = _nn.CrossEntropyLoss().to(self.device)
        self.optimizer = _torch.optim.SGD(self.parameters(), lr=prm["lr"], momentum=prm["momentum"])

    def learn(self, train_data):
        self.train()
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            loss = self.criteria(self(inputs), labels)
            loss.backward()
            _nn.utils.clip_grad_norm_(self.parameters(), 3)
            self.optimizer.step()
'''


def network(code: str, name: str) -> str:
    """Return a LEMUR network around a block that is in a file of its own.

    Raises:
        SyntaxError: the file does not parse.
    """
    calls = [", ".join(f"{k}={v}" for k, v in one.items()) for one in guess_arguments(code, name)]
    return code + _NETWORK.format(
        attempts="".join(f"lambda: {name}({call}), " for call in calls),
        shapes=_SHAPES,
        construct=CONSTRUCT,
        forward=FORWARD,
    )
