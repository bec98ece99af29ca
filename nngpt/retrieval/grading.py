"""How far a block gets: extracted, closed, imported, built, run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from nngpt.errors import UserError
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.retrieval import block_network
from nngpt.retrieval.extractor import Extractor
from nngpt.retrieval.refusals import ExtractionRefused
from nngpt.retrieval.static_check import check


class Level(StrEnum):
    """What was reached last."""

    NOTHING = "nothing"
    COMPILES = "compiles"
    CLOSED = "closed"
    IMPORTS = "imports"
    BUILDS = "builds"
    RUNS = "runs"


LEVELS = tuple(Level)


@dataclass(frozen=True)
class Grade:
    """What became of a block.

    Attributes:
        target: `source:module.Class`.
        level: the last one reached.
        why: why not the next one; "" if it runs or was not tried.
        seconds: of extraction.
    """

    target: str
    level: Level
    why: str
    seconds: float

    @property
    def failure(self) -> str:
        """The kind of failure: the beginning of `why`."""
        return self.why.partition(":")[0]


@dataclass(frozen=True)
class Tally:
    """Grades of a source's blocks.

    Attributes:
        reached: how many reached each level at least.
        failures: how many failed in each way, the most frequent first.
        seconds: of extraction, all together.
    """

    source: str
    blocks: int
    reached: dict[Level, int]
    failures: dict[str, int]
    seconds: float


Train = Callable[[str], Evaluation | Refusal]
"""Trains a network's code in the sandbox."""


def grade(extractor: Extractor, target: str, train: Train | None) -> Grade:
    """Extract a block and see how far it gets; without `train` nothing is run."""
    began = time.process_time()
    try:
        found = extractor.extract(target)
    except ExtractionRefused as refused:
        why = ", ".join(refused.names) or refused.what
        return Grade(target, Level.NOTHING, f"refused: {why}", 0.0)
    except UserError as error:
        return Grade(target, Level.NOTHING, f"not found: {error.what}", 0.0)
    seconds = time.process_time() - began
    verdict = check(found.code, found.name)
    if not verdict.parses:
        return Grade(target, Level.NOTHING, f"syntax: {verdict.syntax}", seconds)
    if not verdict.closed:
        names = ", ".join([*verdict.undefined, *verdict.imported]) or verdict.missing
        return Grade(target, Level.COMPILES, f"not closed: {names}", seconds)
    if train is None:
        return Grade(target, Level.CLOSED, "", seconds)
    level, why = _run(train(block_network.network(found.code, found.name)))
    return Grade(target, level, why, seconds)


def _run(outcome: Evaluation | Refusal) -> tuple[Level, str]:
    if isinstance(outcome, Evaluation):
        return Level.RUNS, ""
    reason = f"{outcome.reason} {outcome.detail}"
    if block_network.CONSTRUCT in reason:
        return Level.IMPORTS, f"{block_network.CONSTRUCT}{reason.partition(block_network.CONSTRUCT)[2]}"
    if block_network.FORWARD in reason:
        return Level.BUILDS, f"{block_network.FORWARD}{reason.partition(block_network.FORWARD)[2]}"
    if outcome.stage in (Stage.FORWARD, Stage.TRAIN, Stage.JUDGE):
        return Level.BUILDS, f"{outcome.stage}: {outcome.reason}"
    return Level.CLOSED, f"{outcome.stage}: {outcome.reason}"


def tallies(grades: Iterable[Grade]) -> Iterator[Tally]:
    """Counts by source, in the order in which they come."""
    by_source: dict[str, list[Grade]] = {}
    for one in grades:
        by_source.setdefault(one.target.partition(":")[0], []).append(one)
    for source, own in by_source.items():
        reached = {
            level: sum(LEVELS.index(one.level) >= LEVELS.index(level) for one in own)
            for level in LEVELS[1:]
        }
        failures = Counter(one.failure for one in own if one.why)
        seconds = sum(one.seconds for one in own)
        yield Tally(source, len(own), reached, dict(failures.most_common()), seconds)
