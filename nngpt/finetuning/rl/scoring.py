"""Score the answers of an RL step: the terms of the reward, and their parts.

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
from nngpt.finetuning.rl.execution_cache import ExecutionCache
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure, Reward
from nngpt.records import (
    Candidate,
    Completion,
    Evaluation,
    Refusal,
    Rollout,
    Stage,
    Task,
    content_hash,
)
from nngpt.sandbox.exit_reasons import HOSTILE

ReadAnswer = Callable[[str], Candidate | Refusal]
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
    return AnswerReward(lambda rollout: float(_count_rungs(rollout.outcome) >= number))


def _count_rungs(outcome: Evaluation | Refusal) -> int:
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


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer of an RL step with its outcome and rewards.

    Attributes:
        rewards: value of each term, without its weight; `total` is their weighted sum.
        known: True if an equal network had been executed before.
    """

    rollout: Rollout
    rewards: Mapping[str, float]
    total: float
    known: bool

    @property
    def evaluation(self) -> Evaluation | None:
        """Result of the training, None for a refused answer."""
        return self.rollout.outcome if isinstance(self.rollout.outcome, Evaluation) else None

    @property
    def identity(self) -> str:
        """Hash of the network, or of the text if the answer holds no network."""
        candidate = self.rollout.candidate
        return candidate.content_hash if candidate else content_hash(self.rollout.completion.text)


class AnswerScorer:
    """Executes the answers of an RL step, and computes their rewards group by group.

    Attributes:
        weights: weight of each reward term.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        terms: Mapping[str, Reward],
        read: ReadAnswer,
        executions: ExecutionCache,
    ) -> None:
        self.weights = dict(weights)
        self._terms, self._read, self._executions = terms, read, executions

    def score(self, groups: Sequence[Sequence[Completion]]) -> list[list[ScoredAnswer]]:
        """Execute the networks of all groups together, then score each group.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        answers = [completion for group in groups for completion in group]
        executed = iter(self._execute(answers))
        return [self._score_group([next(executed) for _ in group]) for group in groups]

    def _execute(self, answers: Sequence[Completion]) -> list[tuple[Rollout, bool]]:
        """Return each answer with its outcome, and whether the outcome was known."""
        read = [self._read(answer.text) for answer in answers]
        candidates = [found for found in read if isinstance(found, Candidate)]
        outcomes = iter(self._executions.outcomes(candidates))
        rollouts = []
        for answer, found in zip(answers, read, strict=True):
            if isinstance(found, Refusal):
                rollouts.append((Rollout(answer, None, found), False))
            else:
                outcome, known = next(outcomes)
                rollouts.append((Rollout(answer, found, outcome), known))
        return rollouts

    def _score_group(self, group: Sequence[tuple[Rollout, bool]]) -> list[ScoredAnswer]:
        rollouts = [rollout for rollout, _ in group]
        values = {name: term.score(rollouts) for name, term in self._terms.items()}
        rows = [{name: values[name][place] for name in values} for place in range(len(group))]
        return [
            ScoredAnswer(rollout, row, sum(self.weights[n] * v for n, v in row.items()), known)
            for (rollout, known), row in zip(group, rows, strict=True)
        ]
