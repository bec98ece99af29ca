"""How far an answer came: the dense part of the reward, a rung for each gate it passed.

The first two rungs and the last are facts: we read the text ourselves, and judge the logits
ourselves. That a network was built and ran forward is what its own process reported, so an answer
that attacks the sandbox climbs no higher than our own reading of it; see docs/rl.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.records import Evaluation, Refusal, Rollout, Stage
from nngpt.sandbox.endings import HOSTILE

_PASSED = {
    Stage.PARSE: 0,
    Stage.CONTRACT: 1,
    Stage.SAFETY: 1,
    Stage.BUILD: 2,
    Stage.FORWARD: 3,
    Stage.TRAIN: 4,
    Stage.JUDGE: 4,
}
"""Rungs below the gate at which an answer was refused."""

_READ = 2
_ALL = 5


def height(outcome: Evaluation | Refusal) -> int:
    """Rungs climbed: 1 parsed, 2 contract and safety, 3 built, 4 ran forward, 5 trained."""
    if isinstance(outcome, Evaluation):
        return _ALL
    passed = _PASSED.get(outcome.stage, 0)
    return min(passed, _READ) if outcome.reason in HOSTILE else passed


class Rung:
    """Implements `nngpt.protocols.Reward`: 1 for an answer that reached rung `number`, else 0."""

    low, high = 0.0, 1.0

    def __init__(self, number: int) -> None:
        self._number = number

    def score(self, group: Sequence[Rollout]) -> list[float]:
        """0 or 1 for each answer."""
        return [float(height(rollout.outcome) >= self._number) for rollout in group]
