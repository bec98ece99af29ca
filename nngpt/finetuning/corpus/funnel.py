"""What became of the mirror's networks on their way into a corpus: a count for every reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from nngpt.records import Refusal

_Item = TypeVar("_Item")
_NUMBER = re.compile(r"(?<![A-Za-z_])\d[\dx,.]*(?<![,.])")


@dataclass(frozen=True)
class Loss:
    """Networks that a step left out.

    Attributes:
        step: which step.
        reasons: number of networks by reason, the most frequent first.
        left: how many networks were left after it.
    """

    step: str
    reasons: dict[str, int]
    left: int

    @property
    def count(self) -> int:
        """How many networks the step left out."""
        return sum(self.reasons.values())


class Funnel:
    """Counts; steps appear in the order in which they first looked at a network."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._lost: dict[str, Counter[str]] = {}

    def step(self, name: str) -> None:
        """A step that is to be shown even if it leaves nothing out."""
        self._lost.setdefault(name, Counter())

    def lose(self, step: str, reason: str | Refusal) -> None:
        """One network is left out; refusals that differ in numbers only are one reason."""
        if isinstance(reason, Refusal):
            text = f"{reason.stage}: {_NUMBER.sub('N', reason.reason)}"
        else:
            text = reason
        self.step(step)
        self._lost[step][text] += 1

    def keep(self, step: str, items: Iterable[_Item], fault: Callable[[_Item], str]) -> list[_Item]:
        """The items without a fault; the others are counted under what `fault` says."""
        self.step(step)
        kept = []
        for item in items:
            reason = fault(item)
            if reason:
                self.lose(step, reason)
            else:
                kept.append(item)
        return kept

    def losses(self) -> Iterator[Loss]:
        """One entry for each step, in order."""
        left = self.start
        for step, counts in self._lost.items():
            left -= counts.total()
            reasons = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            yield Loss(step, dict(reasons), left)
