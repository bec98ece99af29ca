"""Search: settings are tried by training, one after the other, and the best is chosen.

Two samplers of Optuna: TPE, which may begin with settings that somebody proposes, and random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from nngpt.errors import UserError
from nngpt.prediction.hpo.choice import Choice, Space
from nngpt.records import EpochResult, Evaluation, Refusal

Train = Callable[[Choice], Evaluation | Refusal]
"""Trains the network in some settings."""

SAMPLERS = ("tpe", "random")
_RANGES = {"lr": (1e-5, 1.0), "momentum": (0.0, 0.99), "dropout": (0.0, 0.5)}
"""LEMUR's (DESIGN.md); a momentum of 1 never forgets."""


@dataclass(frozen=True)
class Tried:
    """One training of a search.

    Attributes:
        choice: the settings.
        outcome: what became of them.
    """

    choice: Choice
    outcome: Evaluation | Refusal

    @property
    def last(self) -> EpochResult | None:
        """The last epoch's result, None of a refused training."""
        return None if isinstance(self.outcome, Refusal) else self.outcome.epochs[-1]

    @property
    def score(self) -> float:
        """Accuracy after the last epoch; -1 if there is none."""
        return self.last.accuracy if self.last else -1.0


def search(
    train: Train,
    space: Space,
    epochs: int,
    budget: int,
    seed: int,
    sampler: str = "tpe",
    proposed: Sequence[Choice] = (),
    watch: Callable[[Tried], None] = lambda tried: None,
) -> list[Tried]:
    """All trainings, the best first.

    Images are never resized, since that costs more than it tells: transforms are those of `space`
    that keep their size, and those proposed.

    Args:
        epochs: of each training; `train` knows them, too.
        budget: number of trainings.
        sampler: one of `SAMPLERS`. TPE draws at random until it has seen half of the budget.
        proposed: settings that are tried first.
        watch: called after each training.

    Raises:
        UserError: all trainings were refused.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(sampler, budget, seed))
    for choice in proposed[:budget]:
        study.enqueue_trial(_parameters(choice))
    transforms = _transforms(space, proposed)
    done = []
    for _ in range(budget):
        trial = study.ask()
        choice = _suggest(trial, space, transforms, epochs)
        tried = Tried(choice, train(choice))
        study.tell(trial, tried.score)
        watch(tried)
        done.append(tried)
    done.sort(key=lambda tried: -tried.score)
    outcome = done[0].outcome
    if isinstance(outcome, Refusal):
        raise UserError(
            f"all {budget} trainings were refused; the last one at {outcome.stage}: "
            f"{outcome.reason}"
        )
    return done


def _sampler(name: str, budget: int, seed: int) -> BaseSampler:
    if name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=max(1, budget // 2))


def _transforms(space: Space, proposed: Sequence[Choice]) -> list[str]:
    kept = replace(space, max_side=0).transforms
    return list(dict.fromkeys([*kept, *(choice.transform for choice in proposed)]))


def _parameters(choice: Choice) -> dict[str, float | str]:
    known = {name: choice.hyperparameters.get(name) for name in _RANGES}
    given = {
        name: min(max(value, _RANGES[name][0]), _RANGES[name][1])
        for name, value in known.items()
        if value is not None
    }
    return {**given, "batch": choice.batch, "transform": choice.transform}


def _suggest(trial: optuna.Trial, space: Space, transforms: list[str], epochs: int) -> Choice:
    values, notes = space.fixed()
    for name in space.known:
        low, high = _RANGES[name]
        drawn = trial.suggest_float(name, low, high, log=name == "lr")
        values[name] = float(f"{drawn:.4g}")
    batch = trial.suggest_categorical("batch", space.batches)
    transform = trial.suggest_categorical("transform", transforms)
    return Choice("optuna", values, int(batch), str(transform), epochs, None, notes)
