"""Optuna's TPE with asynchronous successive halving over a parametrised convolutional network.

Half of the budget is for trials. A trial trains up to four rungs of 1, 2, 6 and 18 units (so that
1, 3, 9 and 27 units have passed), each with a rise and fall of the learning rate; a unit is 1/150
of the budget. The most accurate network of all trials then trains on with what is left.
"""

from __future__ import annotations

from functools import partial

import optuna
import torch
from torch import Tensor, nn

from contestants.training import Clock, Data, Recipe, Training

TRIALS, UNIT = 0.5, 1 / 150
"""Shares of the budget: for all trials, and of one unit of a trial."""

RUNGS = (1, 2, 6, 18)
"""Units that a trial's rungs last."""

_FACTOR = 3
_EACH = 1000
"""Held-out images of a first rung; later ones use `_FACTOR` times as many each, up to all."""

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


def train(data: Data, seed: int, clock: Clock) -> tuple[Training, str]:
    """Search a network, train it for the rest of the budget, and return it with a note."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.manual_seed(seed)
    data, held_out = data.held_out()
    best: list[tuple[float, int, Training]] = []
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=_FACTOR),
    )

    def objective(trial: optuna.Trial) -> float:
        training = Training(*draw(trial, data), data, seed)
        accuracy, units = 0.0, 0
        for rung, more in enumerate(RUNGS):
            training.advance(clock, min(more * UNIT * clock.seconds, trials_left(clock)))
            accuracy = training.accuracy(held_out.cut(0, _EACH * _FACTOR**rung))
            units += more
            trial.report(accuracy, units)
            best[:] = [max([*best, (accuracy, trial.number, training)], key=lambda one: one[:2])]
            if trials_left(clock) <= 0:
                study.stop()
                break
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study.optimize(objective)
    (_, number, training), count = best[0], len(study.trials)
    training.advance(clock, clock.left)
    return training, f"trial {number} of {count}: {study.trials[number].params}"


def trials_left(clock: Clock) -> float:
    """Return the CPU seconds that are left for trials."""
    return TRIALS * clock.seconds - clock.spent


def draw(trial: optuna.Trial, data: Data) -> tuple[nn.Module, Recipe]:
    """Return a trial's network and recipe."""
    channels, *sides = data.shape
    stages = trial.suggest_int("stages", 2, min(4, min(sides).bit_length() - 2))
    stem = trial.suggest_int("stem_stride", 1, 2)
    net = ParametrisedNet(
        channels,
        data.classes,
        stages,
        stem,
        blocks=trial.suggest_int("blocks", 1, 3),
        width=trial.suggest_int("width", 16, 64, step=8),
        growth=trial.suggest_float("growth", 1.0, 2.0),
        residual=trial.suggest_categorical("residual", (True, False)),
        activation=trial.suggest_categorical("activation", tuple(_ACTIVATIONS)),
        dropout=trial.suggest_float("dropout", 0.0, 0.4),
    )
    optimiser = trial.suggest_categorical("optimiser", ("sgd", "adamw"))
    lowest, highest, decays = (0.01, 0.5, (1e-5, 5e-3))
    if optimiser == "adamw":
        lowest, highest, decays = (5e-4, 2e-2, (1e-3, 0.2))
    suggest = partial(trial.suggest_float, log=True)
    recipe = Recipe(
        optimiser,
        lr=suggest(f"{optimiser}_lr", lowest, highest),
        batch=trial.suggest_categorical("batch", (32, 64, 128)),
        weight_decay=suggest(f"{optimiser}_decay", *decays),
    )
    return net, recipe


class ParametrisedNet(nn.Module):
    """Stages of 3×3 convolutions with batch normalisation; each but the first halves the sides."""

    def __init__(
        self,
        channels: int,
        classes: int,
        stages: int,
        stem: int,
        blocks: int,
        width: int,
        growth: float,
        residual: bool,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.residual, self.act = residual, _ACTIVATIONS[activation]()
        self.layers = nn.ModuleList([_convolution(channels, width, stem)])
        for stage in range(stages):
            wider = round(width * growth / 8) * 8 if stage else width
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                self.layers.append(_convolution(width, wider, stride))
                width = wider
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(width, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            found = self.act(layer(x))
            x = found + x if self.residual and found.shape == x.shape else found
        return self.head(x)


def _convolution(inputs: int, width: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))
