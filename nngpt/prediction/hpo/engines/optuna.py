"""HPO engine that trains the network with settings sampled by Optuna and keeps the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from pydantic import Field

from nngpt.errors import UserError
from nngpt.plugins import PluginOptions
from nngpt.prediction.hpo.grid import best_of_grid
from nngpt.prediction.hpo.proposal import EngineContext, HPOTask, Proposal, SearchSpace, Train
from nngpt.prediction.hpo.surrogate import SurrogateFile, default_path
from nngpt.prediction.model_file import file_to_use
from nngpt.records import Refusal

SAMPLERS = ("tpe", "random")
_RANGES = {"lr": (1e-5, 1.0), "momentum": (0.0, 0.99), "dropout": (0.0, 0.5)}
"""LEMUR's ranges (docs/design.md), except that momentum stays below 1, which never forgets."""

TPE: Mapping[str, Any] = {
    "multivariate": True,
    "constant_liar": False,  # has nothing to do, as trials run one after the other
    "group": False,
    "n_ei_candidates": 24,
}
"""Arguments of the sampler whose defaults Optuna has changed, or may change: results depend on
them. The others are deprecated, and to give one warns.
"""

_FIRST = 3
"""Number of the surrogate's proposals that a search tries first."""


class Options(PluginOptions):
    """`budget`: number of trainings; `surrogate`: file to begin with, None for one's own, else the
    packaged.
    """

    budget: int = Field(8, ge=1)
    surrogate: Path | None = None


class OptunaEngine:
    """Searches settings with Optuna's TPE, starting from the surrogate's proposals."""

    def __init__(self, options: Options, context: EngineContext) -> None:
        self._options, self._context = options, context

    def propose(self, task: HPOTask, count: int) -> list[Proposal]:
        """Return the `count` best of all trainings, the best first. Raises: UserError."""
        if self._context.training is None:
            raise UserError("the engine 'optuna' trains networks, which is not possible here")
        budget, first = self._options.budget, self._first(task)
        note = f"the best of {budget} trainings, chosen on these images: --run trains anew"
        with self._context.training(task) as train:
            found = search(train, task.space, task.epochs, budget, task.seed, proposed=first)
        return [replace(one, notes=(*one.notes, note)) for one in found[:count]]

    def _first(self, task: HPOTask) -> list[Proposal]:
        """Return the surrogate's proposals without resized images."""
        path = self._options.surrogate or file_to_use(default_path())
        own_size = replace(task.space, max_side=task.space.max_side or 0)
        count = min(_FIRST, self._options.budget)
        return best_of_grid(SurrogateFile(path), replace(task, space=own_size), count)

    def close(self) -> None:
        """Do nothing: the engine holds no resources."""


def create(context: EngineContext, *, options: Options) -> OptunaEngine:
    """Return the HPO engine `optuna`, which trains the network with sampled settings."""
    return OptunaEngine(options, context)


def search(
    train: Train,
    space: SearchSpace,
    epochs: int,
    budget: int,
    seed: int,
    sampler: str = "tpe",
    proposed: Sequence[Proposal] = (),
    transforms: Sequence[str] | None = None,
) -> list[Proposal]:
    """Train with settings sampled by Optuna; return all of them with results, the best first.

    Args:
        epochs: length of each training.
        budget: number of trainings.
        sampler: one of `SAMPLERS`. TPE samples at random for the first half of the budget.
        proposed: settings to try first.
        transforms: transforms to sample from, besides those of `proposed`; None for those of
            `space` that do not resize images, which costs more than it teaches.

    Raises: UserError if all trainings were refused.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=_sampler(sampler, budget, seed))
    for proposal in proposed[:budget]:
        study.enqueue_trial(_parameters(proposal))
    kept = replace(space, max_side=0).transforms if transforms is None else transforms
    choices = list(dict.fromkeys((*kept, *(one.transform for one in proposed))))
    done = []
    for _ in range(budget):
        trial = study.ask()
        proposal = _sample(trial, space, choices, epochs)
        proposal = replace(proposal, trained=train(proposal))
        study.tell(trial, proposal.score)
        done.append(proposal)
    done.sort(key=lambda proposal: -proposal.score)
    outcome = done[0].trained
    if isinstance(outcome, Refusal):
        last = f"the last one at {outcome.stage}: {outcome.reason}"
        raise UserError(f"all {budget} trainings were refused; {last}")
    return done


def _sampler(name: str, budget: int, seed: int) -> BaseSampler:
    if name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=max(1, budget // 2), **TPE)


def _parameters(proposal: Proposal) -> dict[str, float | str]:
    """Return a proposal as parameters of an Optuna trial, clipped to `_RANGES`."""
    given = {
        name: min(max(proposal.hyperparameters[name], low), high)
        for name, (low, high) in _RANGES.items()
        if name in proposal.hyperparameters
    }
    return {**given, "batch": proposal.batch, "transform": proposal.transform}


def _sample(
    trial: optuna.Trial, space: SearchSpace, transforms: list[str], epochs: int
) -> Proposal:
    values, notes = space.fixed()
    for name in space.tunable:
        sampled = trial.suggest_float(name, *_RANGES[name], log=name == "lr")
        values[name] = float(f"{sampled:.4g}")
    batch = trial.suggest_categorical("batch", space.batches)
    transform = trial.suggest_categorical("transform", transforms)
    return Proposal("optuna", values, int(batch), str(transform), epochs, notes=notes)
