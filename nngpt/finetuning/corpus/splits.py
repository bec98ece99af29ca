"""The order of a corpus, and its train, development and test parts.

Networks of one family came from one origin, so a family is never divided: what is left of a
likeness below the threshold of the deduplication would leak from one part into another.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from nngpt.finetuning.corpus.answers import Answered

PARTS = ("train", "dev", "test")


def balanced(answers: Sequence[Answered], best_on: str | None = None) -> list[Answered]:
    """Every family's best first, then every family's second best, and so on.

    Any beginning of this order holds as many families as it can.
    """
    families: defaultdict[str, list[Answered]] = defaultdict(list)
    for answered in sorted(answers, key=lambda a: _best_first(a, best_on)):
        families[answered.network.family].append(answered)
    ranked = [(rank, a) for members in families.values() for rank, a in enumerate(members)]
    ranked.sort(key=lambda pair: (pair[0], _best_first(pair[1], best_on)))
    return [answered for _, answered in ranked]


def divide(families: Sequence[str], shares: Sequence[float], seed: int) -> dict[str, str]:
    """The part of each family; `families` names the family of every network.

    The largest families choose first (the seed decides between equals), and each goes to the
    part that is furthest below its share of all networks.
    """
    sizes = Counter(families)
    order = sorted(sizes, key=lambda family: (-sizes[family], _shuffled(family, seed)))
    missing = {
        part: share * len(families) for part, share in zip(PARTS, shares, strict=True) if share > 0
    }
    chosen = {}
    for family in order:
        part = max(missing, key=lambda part: missing[part])
        chosen[family] = part
        missing[part] -= sizes[family]
    return chosen


def _best_first(answered: Answered, best_on: str | None) -> tuple[float, str]:
    trial = answered.network.best(best_on)
    return (-trial.accuracy if trial else 1.0, answered.network.name)


def _shuffled(family: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{family}".encode()).hexdigest()
