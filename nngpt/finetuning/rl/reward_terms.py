"""Make the terms of the reward, and the parts that several terms share.

The dense part of the reward has five rungs, one for each gate that an answer passes. Rungs 1, 2 and
5 are facts: nngpt reads the text itself, and judges the logits itself. Rungs 3 and 4 are reports of
the candidate's own process, so an answer that attacks the sandbox keeps only rungs 1 and 2; see
docs/rl.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nngpt import plugins
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure, Reward
from nngpt.records import Candidate, Evaluation, Refusal, Rollout, Stage, Task
from nngpt.sandbox.exit_reasons import HOSTILE

_RUNGS_BELOW = {
    Stage.PARSE: 0,
    Stage.CONTRACT: 1,
    Stage.SAFETY: 1,
    Stage.BUILD: 2,
    Stage.FORWARD: 3,
    Stage.TRAIN: 4,
    Stage.JUDGE: 4,
}
"""Rungs below the stage at which an answer was refused."""

_READ_BY_US = 2
_TRAINED = 5


@dataclass
class AnswerReward:
    """Reward of each answer by itself, from `value`; implements `nngpt.protocols.Reward`."""

    value: Callable[[Rollout], float]
    low: float = 0.0
    high: float = 1.0

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """Return the reward of each answer of a group."""
        return [self.value(rollout) for rollout in group]


def rung_reward(number: int) -> AnswerReward:
    """Return a reward term: 1 for an answer that reached rung `number`, else 0."""
    return AnswerReward(lambda rollout: float(count_rungs(rollout.outcome) >= number))


def count_rungs(outcome: Evaluation | Refusal) -> int:
    """Return the rungs of the reward: 1 parsed, 2 contract, 3 built, 4 ran forward, 5 trained.

    Refusals for an attack on the sandbox reach rung 2 at most.
    """
    if isinstance(outcome, Evaluation):
        return _TRAINED
    passed = _RUNGS_BELOW.get(outcome.stage, 0)
    return min(passed, _READ_BY_US) if outcome.reason in HOSTILE else passed


def trained_network(rollout: Rollout) -> Candidate | None:
    """Return the network that a reward counts: trained and judged; None for other answers."""
    return rollout.candidate if isinstance(rollout.outcome, Evaluation) else None


def make_terms(
    weights: Mapping[str, float],
    task: Task,
    known: NoveltyMeasure,
    new_measure: Callable[[], NoveltyMeasure],
) -> dict[str, Reward]:
    """Load the reward terms that a configuration names (`rl.rewards`).

    Args:
        weights: weight of each term (`rl.rewards`).
        known: novelty measure that holds the known networks.
        new_measure: makes an empty novelty measure.

    Raises:
        PluginError: there is no reward of that name.
        ConfigError: a reward cannot work with this task.
    """
    found: dict[str, Any] = {name: plugins.load("reward", name) for name in weights}
    return {name: module.create(task, known, new_measure) for name, module in found.items()}


def known_networks(
    new_measure: Callable[[], NoveltyMeasure], networks: Mapping[str, Candidate]
) -> NoveltyMeasure:
    """Return a novelty measure that holds the networks known to the reward terms."""
    measure = new_measure()
    for key, candidate in networks.items():
        measure.add(key, contract.novelty_text(candidate))
    return measure
