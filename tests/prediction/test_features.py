"""Features of code, transforms, settings and first epochs."""

from __future__ import annotations

import math

import pytest

from nngpt.errors import DataError
from nngpt.prediction import code_features, features
from nngpt.prediction.code_features import kind_of_network
from nngpt.prediction.places import Place, dataset_facts
from nngpt.prediction.runs import History, TrainingRun

SOURCE = """
import torch
from torch import nn

class Block(nn.Module):
    def forward(self, x):
        return x + self.conv(x)

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        self.one = nn.Conv2d(3, 64, kernel_size=(5, 3), stride=2)
        self.two = nn.Conv2d(64, 64, 3, groups=64)
        self.norm = nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 10)
    def train_setup(self, prm):
        self.optimizer = torch.optim.AdamW(self.parameters(), lr=prm['lr'], weight_decay=0.05)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 10)
    def forward(self, x):
        return torch.cat([x, x]) * 1
"""


def test_code_is_counted_and_never_executed() -> None:
    found = dict(
        zip(
            code_features.NAMES,
            code_features.features(SOURCE + "\nraise SystemExit\n"),
            strict=True,
        )
    )
    assert {
        "modules": 2,
        "convolutions": 2,
        "depthwise": 1,
        "strided": 1,
        "batch_norms": 1,
        "linear": 1,
        "max_kernel": 5,
        "max_width": 6,
        "residual_adds": 1,
        "concatenations": 1,
        "adaptive": 1,
        "schedule": 1,
        "weight_decay": 0.05,
    }.items() <= found.items()
    weights = 3 * 64 * 5 * 5 + 64 * 64 * 3 * 3 / 64 + 64 * 10
    assert found["literal_parameters"] == pytest.approx(math.log10(weights))


def test_huge_numbers_are_ignored() -> None:
    huge = "9" * 400
    source = f"nn.Linear({huge}, 8)\nnn.Conv2d(3, 8, {huge})\nAdam(weight_decay={huge})\n"
    found = dict(zip(code_features.NAMES, code_features.features(source), strict=True))
    assert (found["linear"], found["max_width"], found["max_kernel"]) == (1, 3, 0)
    assert math.isnan(found["weight_decay"])


@pytest.mark.parametrize("source", ["def x(:", "\0", "(" * 5000])
def test_code_that_is_not_valid_python_is_refused_in_one_line(source: str) -> None:
    with pytest.raises(DataError, match="the code cannot be read"):
        code_features.features(source)


def test_kinds_of_networks_of_the_papers() -> None:
    assert kind_of_network(SOURCE, "img-classification") == "cnn"
    assert kind_of_network(SOURCE, "obj-detection") == "detector"
    assert kind_of_network("x = nn.LSTM(3, 3)", "txt-generation") == "rnn"
    assert kind_of_network("x = nn.Linear(3, 3)", "img-classification") == "other"


def test_transform_features(history: History) -> None:
    found = dict(
        zip(
            features.TRANSFORM,
            features.transform_features(history.transforms["norm_32_flip"]),
            strict=True,
        )
    )
    assert (found["transform_size"], found["transform_flips"]) == (32, 1)
    assert found["transform_normalised"] == 1
    assert all(math.isnan(value) for value in features.transform_features(None))


def early_names(epochs: int) -> tuple[str, ...]:
    """Return the names of what `features.early` returns."""
    each = [f"{name}_{e}" for e in range(1, epochs + 1) for name in ("accuracy", "above_chance")]
    gains = [f"gain_{e}" for e in range(2, epochs + 1)]
    whole = ("best", "room", "last_to_best", "slope", "unsteady", "stuck", "at_chance")
    return (*each, *gains, *(whole if epochs else ()))


def test_features_of_the_first_epochs() -> None:
    chance = dataset_facts("svhn").chance
    found = dict(zip(early_names(3), features.early((chance, chance, 0.6), chance, 3), strict=True))
    assert (found["gain_2"], found["stuck"], found["at_chance"]) == (0, 1, 2)
    assert (found["best"], found["last_to_best"]) == (0.6, 0)
    assert found["above_chance_3"] == pytest.approx((0.6 - chance) / (1 - chance))
    assert features.early((), chance, 0) == []


def test_every_feature_has_a_name_and_unknown_ones_are_nan() -> None:
    place = Place("img-classification", "birds", "acc")
    row = features.static(TrainingRun("net", place, {"lr": 0.1}, None), {}, {})
    found = dict(zip(features.STATIC, row, strict=True))
    assert found["log_lr"] == pytest.approx(-1)
    assert all(math.isnan(found[name]) for name in ("chance", "log_steps", "lines", "momentum"))
