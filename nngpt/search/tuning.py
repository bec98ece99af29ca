"""Tuning of the leader's recipe: proposals first, then trials of Optuna's TPE.

Every trial trains the leader anew. Trials that train it on from its weights would prefer the lowest
rates, which disturb these least in a short time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nngpt.protocols import Log
from nngpt.search.front import ranked
from nngpt.search.ladder import Standing, Trainer, at_once
from nngpt.search.recipe import DECAY, Recipe
from nngpt.statistics import percent_of

RATES = {"adamw": (3e-4, 0.03), "sgd": (0.005, 0.5)}
"""Range of the highest learning rate, by optimiser."""


def proposals(usual: Recipe, advised: Recipe | None) -> list[Recipe]:
    """Return the recipes to try first: the usual one, the advised one if there is one, the other
    optimiser, other learning rates."""
    other = "sgd" if usual.optimiser == "adamw" else "adamw"
    low, high = RATES[other]
    middle = float(f"{(low * high) ** 0.5:.2g}")
    return [
        usual,
        *([advised] if advised else []),
        replace(usual, optimiser=other, lr=middle, weight_decay=DECAY[other]),
        replace(usual, lr=usual.lr / 3),
        replace(usual, lr=usual.lr * 2),
    ]


def tune(
    trainer: Trainer,
    leader: Standing,
    first: Sequence[Recipe],
    trials: int,
    seconds: float,
    log: Log,
) -> Standing:
    """Train the leader anew with other recipes; return it as it was, with the best of them.

    Args:
        first: recipes to try before those that TPE samples.
        trials: number of recipes in all.
        seconds: wall seconds of all trainings together.
    """
    if seconds <= 0 or not trials:
        return leader
    workers = trainer.executor.workers
    each = seconds / -(-trials // workers)

    def attempt(number: int, recipe: Recipe) -> Standing:
        return trainer.go_on(f"tune{number}", leader, each, recipe, anew=True)

    log(f"Tuning {leader[0].title}: {trials} recipes, {each:.0f} s each")
    found = list[Standing]()
    study = _Study(leader[0].recipe, first, trainer.seed)
    while len(found) < trials:
        numbers = range(len(found), min(trials, len(found) + workers))
        tried = at_once(trainer.executor, attempt, numbers, [study.ask() for _ in numbers])
        study.tell([record.accuracy for _, record in tried])
        found += tried
    best_first = ranked(found)
    for one, record in best_first:
        log(f"  {one.recipe.note:<40} {percent_of(record.correct, record.total)}")
    return (best_first[0][0], leader[1]) if best_first else leader


class _Study:
    """Recipes by Optuna's TPE; equal answers give equal recipes, so a killed tuning replays."""

    def __init__(self, usual: Recipe, first: Sequence[Recipe], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # Optuna 5 made these two the default; trials may run at the same time.
        sampler = optuna.samplers.TPESampler(
            seed=seed % 2**32, n_startup_trials=len(first), multivariate=True, constant_liar=True
        )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._usual, self._asked = usual, list[optuna.Trial]()
        self._first: Iterator[Recipe] = iter(first)
        for recipe in first:
            low, high = RATES[recipe.optimiser]
            lr = min(max(recipe.lr, low), high)
            self._study.enqueue_trial({"optimiser": recipe.optimiser, f"{recipe.optimiser} lr": lr})

    def ask(self) -> Recipe:
        """Return the next recipe to try."""
        trial = self._study.ask()
        self._asked.append(trial)
        optimiser = trial.suggest_categorical("optimiser", sorted(RATES))
        lr = trial.suggest_float(f"{optimiser} lr", *RATES[optimiser], log=True)
        given = next(self._first, None)
        sampled = replace(
            self._usual, optimiser=optimiser, lr=float(f"{lr:.3g}"), weight_decay=DECAY[optimiser]
        )
        return given or sampled

    def tell(self, accuracies: Sequence[float]) -> None:
        """Tell the accuracies of the recipes that were asked for since the last call, in order."""
        for trial, accuracy in zip(self._asked, accuracies, strict=True):
            self._study.tell(trial, accuracy)
        self._asked.clear()
