"""Questions that name the accuracy to reach, as a quantile (`prompt.accuracy_quantiles`).

The quantile of a network is its rank among the run's own networks so far, so it means the same
while networks get better. The LLM learns every network as the answer for its own quantile and is
asked for the best one, as in X. Lu et al., Quark: Controllable Text Generation with Reinforced
Unlearning, NeurIPS 2022.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from nngpt.generation.prompts.template import asking
from nngpt.records import Prompt, TrainingPair
from nngpt.store import AttemptRecord

_NAMED = re.compile(r"\AAccuracy quantile: \d+ of (\d+)\n\n")


def in_quantile(prompt: Prompt, quantile: int, quantiles: int) -> Prompt:
    """Return the prompt with a question that names this quantile, and no other.

    Args:
        quantile: from 1, the least accurate, to `quantiles`.
    """
    named = f"Accuracy quantile: {quantile} of {quantiles}\n\n"
    return asking(prompt, named + _NAMED.sub("", prompt.messages[-1].content))


def in_worst_quantile(prompt: Prompt) -> Prompt | None:
    """Return the prompt with the worst quantile instead; None if its question names none."""
    named = _NAMED.match(prompt.messages[-1].content)
    return in_quantile(prompt, 1, int(named.group(1))) if named else None


def in_own_quantiles(
    pairs: Sequence[TrainingPair],
    attempts: Sequence[AttemptRecord],
    known: Sequence[AttemptRecord],
    quantiles: int,
) -> list[TrainingPair]:
    """Return training pairs whose questions name the quantile that the answer reached.

    Args:
        attempts: the attempt of each pair.
        known: attempts among which they rank; equal accuracies are in the same quantile, and the
            best is in the last one.
    """
    ascending, found = sorted(attempt.accuracy for attempt in known), []
    for pair, attempt in zip(pairs, attempts, strict=True):
        rank = bisect_right(ascending, attempt.accuracy)
        quantile = -(-rank * quantiles // len(known))  # rounded up, exactly
        found.append(replace(pair, prompt=in_quantile(pair.prompt, quantile, quantiles)))
    return found
