"""Questions that name a known network and ask for a better one (`prompt.better_than`).

A run asks for better networks than one of its best. It learns from pairs whose question names a
network that the answer is known to be better than, so that every difference teaches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from nngpt.generation.pairs import admitted_pairs
from nngpt.generation.prompts.crossover import is_crossed
from nngpt.generation.prompts.template import asking
from nngpt.records import Prompt, TrainingPair
from nngpt.store import AttemptRecord, Store

_MARK = "\n\nBetter than:\n"


def better_than(prompt: Prompt, answer: str) -> Prompt:
    """Return the prompt with a question that names this answer, "" for none, and no other."""
    question = prompt.messages[-1].content.partition(_MARK)[0]
    return asking(prompt, f"{question}{_MARK}{answer}" if answer else question)


def better_pairs(
    store: Store, chosen: Sequence[AttemptRecord], known: Sequence[AttemptRecord], seed: int
) -> list[TrainingPair]:
    """Return a training pair per chosen attempt; its question names a worse one, drawn at random.

    A question that shows two parents (`prompt.crossover`) stays as it was.

    Args:
        chosen: attempts to learn.
        known: attempts that questions may name.
    """
    chance, pairs = random.Random(seed), []
    for attempt, pair in zip(chosen, admitted_pairs(store, chosen), strict=True):
        if is_crossed(pair.prompt):
            pairs.append(pair)
            continue
        worse = [other for other in known if other.accuracy < attempt.accuracy]
        answer = ""
        if worse and (candidate := chance.choice(worse).candidate) is not None:
            answer = pair.prompt.prefill + candidate.written
        pairs.append(replace(pair, prompt=better_than(pair.prompt, answer)))
    return pairs
