"""Score the answers of a step: read each, execute its network, and compute every reward term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nngpt.finetuning.rl.execution_cache import ExecutionCache
from nngpt.protocols import Reward
from nngpt.records import Candidate, Completion, Evaluation, Refusal, Rollout, content_hash

ReadAnswer = Callable[[str], Candidate | Refusal]


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

        Raises:
            ExecutionError: the sandbox itself does not work.
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
