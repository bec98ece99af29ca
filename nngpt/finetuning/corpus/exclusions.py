"""Count which networks each step of a corpus build excludes, by reason."""

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
class ExcludedByStep:
    """Number of networks that one step excluded for each reason, and that it left.

    The most frequent reason comes first.
    """

    step: str
    reasons: dict[str, int]
    left: int

    @property
    def count(self) -> int:
        """Number of networks that the step excluded."""
        return sum(self.reasons.values())


class Exclusions:
    """Counts of excluded networks; steps keep the order in which they were first named.

    Attributes:
        start: number of networks before the first step.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self._excluded: dict[str, Counter[str]] = {}

    def add_step(self, name: str) -> None:
        """Register a step, so that it is listed even if it excludes no network."""
        self._excluded.setdefault(name, Counter())

    def exclude(self, step: str, reason: str | Refusal) -> None:
        """Count one excluded network; refusals that differ only in numbers share a reason."""
        if isinstance(reason, Refusal):
            text = f"{reason.stage}: {_NUMBER.sub('N', reason.reason)}"
        else:
            text = reason
        self.add_step(step)
        self._excluded[step][text] += 1

    def keep(
        self, step: str, items: Iterable[_Item], reason_of: Callable[[_Item], str]
    ) -> list[_Item]:
        """Return the items for which `reason_of` gives ""; count the others under their reason."""
        self.add_step(step)
        kept = []
        for item in items:
            reason = reason_of(item)
            if reason:
                self.exclude(step, reason)
            else:
                kept.append(item)
        return kept

    def steps(self) -> Iterator[ExcludedByStep]:
        """Yield the counts of each step, in order."""
        left = self.start
        for step, counts in self._excluded.items():
            left -= counts.total()
            reasons = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            yield ExcludedByStep(step, dict(reasons), left)
