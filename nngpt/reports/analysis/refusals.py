"""Why first answers were refused: stage, kind of reason and number, by arm and cycle."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nngpt.records import Arm, Stage
from nngpt.store import AttemptRecord

_LONGEST = 90
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER = re.compile(r"\b\d+(?:[.,x×]\d+)*%?")
_OTHERS = {
    Stage.DUPLICATE: "same network as an earlier one",
    Stage.NOVELTY: "too similar to an earlier one",
}


@dataclass(frozen=True)
class RefusalCount:
    """Number of an arm's first answers refused in a cycle for one kind of reason."""

    arm: Arm
    cycle: int
    stage: Stage
    reason: str
    count: int


def refusal_counts(attempts: Iterable[AttemptRecord]) -> tuple[RefusalCount, ...]:
    """Count the refused first answers by arm, cycle, stage and kind of reason, in that order."""
    counts = Counter(
        (a.arm, a.cycle, a.refusal.stage, kind(a.refusal.stage, a.refusal.reason))
        for a in attempts
        if a.refusal is not None and not a.repairs
    )
    found = (RefusalCount(*key, count) for key, count in counts.items())
    return tuple(sorted(found, key=_order))


def _order(count: RefusalCount) -> tuple[int, int, int, int, str]:
    arm, stage = list(Arm).index(count.arm), list(Stage).index(count.stage)
    return arm, count.cycle, stage, -count.count, count.reason


def kind(stage: Stage, reason: str) -> str:
    """Return a refusal's reason without its numbers and quoted names, which would split counts."""
    if stage in _OTHERS:
        return _OTHERS[stage]
    text = _NUMBER.sub("…", _QUOTED.sub("…", " ".join(reason.split())))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
