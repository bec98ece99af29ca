"""From the answers of a step to what each is worth: read, execute, and score term by term."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nngpt import plugins
from nngpt.finetuning.rl.execution_cache import Executions
from nngpt.generation import contract
from nngpt.protocols import NoveltyMeasure, Reward
from nngpt.records import Candidate, Completion, Evaluation, Refusal, Rollout, Task, content_hash

Read = Callable[[str], Candidate | Refusal]


@dataclass(frozen=True)
class Judged:
    """One answer of a step and what it earned.

    Attributes:
        rewards: each term's value, without its weight.
        total: the weighted sum.
        known: its outcome was known: an equal network had been executed before.
    """

    rollout: Rollout
    rewards: Mapping[str, float]
    total: float
    known: bool

    @property
    def trained(self) -> Evaluation | None:
        """What training gave, None for a refused answer."""
        return self.rollout.outcome if isinstance(self.rollout.outcome, Evaluation) else None

    @property
    def network(self) -> str:
        """What makes it the same network as another one, or the same text if it is none."""
        candidate = self.rollout.candidate
        return candidate.content_hash if candidate else content_hash(self.rollout.completion.text)


class RewardJudge:
    """Scores the answers of one step, group by group.

    Attributes:
        weights: the weight of each term.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        terms: Mapping[str, Reward],
        read: Read,
        executions: Executions,
    ) -> None:
        self.weights = dict(weights)
        self._terms, self._read, self._executions = terms, read, executions

    def judge(self, groups: Sequence[Sequence[Completion]]) -> list[list[Judged]]:
        """Execute all groups' networks together, then score each group.

        Raises:
            ExecutionError: the sandbox itself does not work.
        """
        answers = [completion for group in groups for completion in group]
        judged = iter(self._execute(answers))
        return [self._score([next(judged) for _ in group]) for group in groups]

    def _execute(self, answers: Sequence[Completion]) -> list[tuple[Rollout, bool]]:
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

    def _score(self, group: Sequence[tuple[Rollout, bool]]) -> list[Judged]:
        rollouts = [rollout for rollout, _ in group]
        values = {name: term.score(rollouts) for name, term in self._terms.items()}
        rows = [{name: values[name][place] for name in values} for place in range(len(group))]
        return [
            Judged(rollout, row, sum(self.weights[n] * v for n, v in row.items()), known)
            for (rollout, known), row in zip(group, rows, strict=True)
        ]


def make_terms(
    weights: Mapping[str, float],
    task: Task,
    known: NoveltyMeasure,
    new_measure: Callable[[], NoveltyMeasure],
) -> dict[str, Reward]:
    """The reward terms of a configuration, by name.

    Raises:
        PluginError: there is no reward of that name.
        ConfigError: a reward cannot work with this task.
    """
    arguments = (task, known, new_measure)
    return {name: plugins.create("reward", name, *arguments) for name in weights}


def known_networks(
    new_measure: Callable[[], NoveltyMeasure], networks: Mapping[str, Candidate]
) -> NoveltyMeasure:
    """A novelty measure that knows these networks."""
    measure = new_measure()
    for key, candidate in networks.items():
        measure.add(key, contract.novelty_text(candidate))
    return measure
