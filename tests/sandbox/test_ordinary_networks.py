"""Ordinary networks in LEMUR's contract, trained in real processes as nngpt's own loop trains."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from command_line import ROOT
from sandbox_samples import candidate

from nngpt.generation.contract.network_file import NetworkFile, read_network
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.sandbox.executors.local import LocalExecutor

Start = Callable[..., LocalExecutor]

PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
ORDINARY = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_channels=3, num_classes=10):
        super(Net, self).__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, num_classes),
        )

    def forward(self, x):
        return self.layers(x)


model = Net()
print(model)
"""


def network(code: str) -> NetworkFile:
    found = read_network(code)
    assert isinstance(found, NetworkFile), found
    return found


def test_its_training_is_that_of_our_own_loop(start: Start) -> None:
    one = candidate(network(ORDINARY).code)
    result, again = start().evaluate(one, 1), start().retrain(one, 1)
    assert isinstance(result, Evaluation), result
    assert result.accuracy == again.accuracy and result.accuracy > 0.9


def test_an_output_that_is_no_tensor_is_refused(start: Start) -> None:
    refusal = start().evaluate(
        candidate(network(ORDINARY.replace("self.layers(x)", "(self.layers(x), x)")).code), 1
    )
    assert isinstance(refusal, Refusal)
    assert refusal == Refusal(Stage.FORWARD, "forward returns a tuple, not a tensor")


@pytest.mark.parametrize("code", EXAMPLES, ids=["ordinary", "minimal", "full"])
def test_an_example_of_the_page_trains(code: str, start: Start) -> None:
    found = network(code)
    values = {"lr": 0.05, "momentum": 0.9, "dropout": 0.1}
    one = candidate(found.code)
    one = type(one)(**{**vars(one), "hyperparameters": {n: values[n] for n in found.supported}})
    result = start().evaluate(one, 1)
    assert isinstance(result, Evaluation), result
    assert result.accuracy > 0.5
