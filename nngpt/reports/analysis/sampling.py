"""Stratified random samples of a run's trained candidates."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

from nngpt.records import Arm, derive_seed
from nngpt.store import AttemptRecord

Stratum = tuple[Arm, int, int]
"""Arm, cycle, and third of the arm by first-epoch accuracy (0 is the lowest)."""


def stratified_sample(
    attempts: Sequence[AttemptRecord], share: float, at_least: int, seed: int
) -> list[AttemptRecord]:
    """Return a random sample of the trained attempts with proportional strata, in writing order.

    All have the same probability, even with more strata than places: each stratum's part is
    rounded up or down at random. With the same seed, a smaller sample is part of a larger one.

    Args:
        share: sampled share of the trained attempts, 0…1.
        at_least: minimum sample size, unless fewer attempts are trained.
    """
    trained = [attempt for attempt in attempts if attempt.evaluation is not None]
    size = min(len(trained), max(at_least, math.ceil(share * len(trained) - 1e-9)))
    turns = _turns(trained, random.Random(derive_seed(seed, "sample")))
    chosen = sorted(trained, key=lambda attempt: turns[attempt.id])[:size]
    return sorted(chosen, key=lambda attempt: attempt.id)


def first_epoch(attempt: AttemptRecord) -> float:
    """Return a trained attempt's validation accuracy after the first epoch, 0…1."""
    assert attempt.evaluation is not None
    return attempt.evaluation.epochs[0].accuracy


def strata(trained: Sequence[AttemptRecord]) -> dict[Stratum, list[AttemptRecord]]:
    """Return trained attempts by stratum of the sample, in a fixed order."""
    arms: dict[Arm, list[AttemptRecord]] = defaultdict(list)
    for attempt in trained:
        arms[attempt.arm].append(attempt)
    found: dict[Stratum, list[AttemptRecord]] = defaultdict(list)
    for arm, members in arms.items():
        ranked = sorted(members, key=lambda attempt: (first_epoch(attempt), attempt.id))
        for rank, attempt in enumerate(ranked):
            found[arm, attempt.cycle, 3 * rank // len(ranked)].append(attempt)
    return dict(sorted(found.items()))


def _turns(trained: Sequence[AttemptRecord], generator: random.Random) -> dict[int, float]:
    """Return a drawing time 0…1 for each attempt: by time t, each stratum has given a share t.

    A stratum's members come at equal distances in random order. The first one's time is random
    too, but evenly spread over the strata, so that the total stays proportional.
    """
    by_stratum = strata(trained)
    places = list(range(len(by_stratum)))
    generator.shuffle(places)
    turns = {}
    for place, members in zip(places, by_stratum.values(), strict=True):
        start = (place + generator.random()) / len(by_stratum)
        generator.shuffle(members)
        for number, attempt in enumerate(members):
            turns[attempt.id] = (number + start) / len(members)
    return turns
