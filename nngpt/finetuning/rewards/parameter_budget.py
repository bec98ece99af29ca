"""Penalise parameters: minus the share of `task.max_parameters` that a network uses.

The value is never positive. The count is the claim of the candidate's own process: an untrue claim
can avoid the penalty, but gains nothing. An answer that did not train costs as much as the whole
budget, so failing is not cheaper. (A network above the budget is refused when it is built.)
"""

from __future__ import annotations

from nngpt.errors import ConfigError
from nngpt.finetuning.rl.scoring import AnswerReward
from nngpt.records import Evaluation, Rollout, Task


def create(task: Task, *_: object) -> AnswerReward:
    """Return the penalty `parameter-budget`: -(parameters / budget), at least -1; range -1…0.

    Raises: ConfigError if the task has no parameter budget.
    """
    budget = task.max_parameters
    if budget is None:
        where = "rl.rewards.parameter-budget"
        hint = "Set task.max_parameters, or leave this reward out."
        raise ConfigError("there is no budget to compare with", where=where, hint=hint)

    def penalty(rollout: Rollout) -> float:
        if not isinstance(rollout.outcome, Evaluation):
            return -1.0
        return -min(1.0, max(0, rollout.outcome.claimed_parameters) / budget)

    return AnswerReward(penalty, low=-1.0, high=0.0)
