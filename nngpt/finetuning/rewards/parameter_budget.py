"""Penalise parameters: minus the share of `task.max_parameters` that a network uses.

The value is never positive. The count is the claim of the candidate's own process: an untrue claim
can avoid the penalty, but gains nothing. An answer that did not train costs as much as the whole
budget, so failing is not cheaper. (A network above the budget is refused when it is built.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nngpt.errors import ConfigError
from nngpt.protocols import NoveltyMeasure
from nngpt.records import Evaluation, Rollout, Task


class ParameterBudget:
    """Implements `nngpt.protocols.Reward`: a penalty for parameters, out of `budget`."""

    low, high = -1.0, 0.0

    def __init__(self, budget: int) -> None:
        self._budget = budget

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return -(parameters / budget), at least -1, for each answer."""
        return [self._penalty(rollout) for rollout in group]

    def _penalty(self, rollout: Rollout) -> float:
        if not isinstance(rollout.outcome, Evaluation):
            return self.low
        return -min(1.0, max(0, rollout.outcome.claimed_parameters) / self._budget)


def create(
    task: Task, known: NoveltyMeasure, new_measure: Callable[[], NoveltyMeasure]
) -> ParameterBudget:
    """Return the penalty; range -1…0.

    Raises:
        ConfigError: the task has no parameter budget.
    """
    if task.max_parameters is None:
        raise ConfigError(
            "there is no budget to compare with",
            where="rl.rewards.parameter-budget",
            hint="Set task.max_parameters, or leave this reward out.",
        )
    return ParameterBudget(task.max_parameters)
