"""A small mirror for the tests of the corpus: real networks, and some to exclude."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from command_line import ROOT
from sqlalchemy import insert

from nngpt.records import content_hash
from nngpt.store import Store
from nngpt.store import lemur_tables as lemur
from nngpt.store.lemur_tables import LemurEmpty

FILES = {f.stem: f.read_text() for f in sorted((ROOT / "tests" / "networks").glob("*.py"))}

HEAD = """import torch
import torch.nn as nn


def supported_hyperparameters():
    return {'lr', 'momentum', 'dropout'}


class Net(nn.Module):
    def train_setup(self, prm):
        self.to(self.device)
        self.criteria = nn.CrossEntropyLoss().to(self.device)
        self.optimizer = torch.optim.SGD(self.parameters(), lr=prm['lr'], momentum=prm['momentum'])

    def learn(self, train_data):
        for inputs, labels in train_data:
            self.optimizer.zero_grad()
            self.criteria(self(inputs), labels).backward()
            self.optimizer.step()

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))

    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.device = device
        self.pool = nn.AdaptiveAvgPool2d(2)
"""


def sequential(*widths: int, kernel: int = 3, pools: int = 1) -> str:
    """Return a plain network with these channels; it fails with too many `pools`."""
    lines = ["layers = []", "channels = in_shape[1]"]
    for width in widths:
        lines += [
            "layers += [",
            f"    nn.Conv2d(channels, {width}, kernel_size={kernel}, padding={kernel // 2}),",
            "    nn.ReLU(inplace=True),",
            "]",
            f"channels = {width}",
        ]
    lines += ["layers.append(nn.MaxPool2d(kernel_size=2, stride=2))"] * pools
    lines += [
        "self.features = nn.Sequential(*layers)",
        "self.classifier = nn.Linear(channels * 4, out_shape[0])",
    ]
    return HEAD + "".join(f"        {line}\n" for line in lines)


def normalised(*widths: int) -> str:
    """Return a network of another kind."""
    layers = [
        f"nn.Conv2d({width}, {wider}, 5, stride=2), nn.BatchNorm2d({wider}), nn.GELU(), "
        "nn.Dropout2d(p=prm['dropout'])"
        for width, wider in pairwise(widths)
    ]
    return (
        HEAD
        + f"""        self.features = nn.Sequential(
            {", ".join(layers)}, nn.AvgPool2d(1), nn.LeakyReLU(0.2), nn.AvgPool2d(2), nn.Tanh()
        )
        self.classifier = nn.Sequential(
            nn.Linear({widths[-1] * 4}, 99), nn.Sigmoid(), nn.BatchNorm1d(99), nn.Softplus(),
            nn.AlphaDropout(0.5), nn.Linear(99, out_shape[0])
        )
"""
    )


Trial = tuple[str, str, float, int, dict[str, Any]]
"""Task, data set, accuracy, epoch, settings."""

SETTINGS = {"lr": 0.0123456, "momentum": 0.9, "dropout": 0.25, "batch": 32, "transform": "norm_32"}


def classified(accuracy: float, dataset: str = "mnist", epoch: int = 1, **changes: Any) -> Trial:
    """Return a trial on image classification."""
    return "img-classification", dataset, accuracy, epoch, {**SETTINGS, **changes}


def fill(folder: Path, networks: dict[str, str], trials: dict[str, Iterable[Trial]]) -> Path:
    """Make a mirror in `folder`; a trial without settings is an empty statistics file."""
    with Store.open(folder / "nngpt.db") as store, store.database.write() as session:
        for name, code in networks.items():
            row = {"name": name, "code": code, "id": content_hash(code)}
            session.execute(insert(lemur.nn).values(row))
        for name, found in trials.items():
            for number, (task, dataset, accuracy, epoch, settings) in enumerate(found):
                fixed = {"task": task, "dataset": dataset, "metric": "acc", "nn": name}
                if not settings:
                    session.execute(insert(LemurEmpty).values(**fixed, epoch=epoch))
                    continue
                uid = f"{name}/{number}"
                row = {**fixed, "id": uid, "prm": uid, "accuracy": accuracy, "epoch": epoch}
                row["transform"] = settings["transform"]
                session.execute(insert(lemur.stat).values(row))
                pairs = [{"uid": uid, "name": k, "value": v} for k, v in settings.items()]
                session.execute(insert(lemur.prm).values(pairs))
    return folder
