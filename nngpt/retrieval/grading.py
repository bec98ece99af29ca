"""Grade how far blocks get: extracted, closed, imported, built, run."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from nngpt.errors import UserError, nearest
from nngpt.files import read_text
from nngpt.records import Evaluation, Refusal, Stage
from nngpt.retrieval import block_network
from nngpt.retrieval.audit import decisions_of_error, import_fault
from nngpt.retrieval.closure import ExtractionRefused
from nngpt.retrieval.decisions import Decision
from nngpt.retrieval.extractor import Extractor


class BlockLevel(StrEnum):
    """The last level that a block reached."""

    NOTHING = "nothing"
    COMPILES = "compiles"
    CLOSED = "closed"
    IMPORTS = "imports"
    BUILDS = "builds"
    RUNS = "runs"


LEVELS = tuple(BlockLevel)
_REACHED = (
    (BlockLevel.IMPORTS, block_network.CONSTRUCT),
    (BlockLevel.BUILDS, block_network.FORWARD),
)


@dataclass(frozen=True)
class Grade:
    """Result of grading a block.

    Attributes:
        target: full name, `source:module.Class`.
        why: why the next level failed; "" if the block runs, or the next level was not tried.
        seconds: CPU seconds of extraction.
        decisions: what the extraction decided, and why its file cannot be imported.
    """

    target: str
    level: BlockLevel
    why: str
    seconds: float
    decisions: tuple[Decision, ...] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Return the grade without the decisions, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "decisions"}


@dataclass(frozen=True)
class Tally:
    """Number of one source's blocks by level reached and by failure, most frequent first.

    `seconds` is the CPU time of all extractions.
    """

    source: str
    blocks: int
    reached: dict[BlockLevel, int]
    failures: dict[str, int]
    seconds: float


Train = Callable[[str], Evaluation | Refusal]
"""Trains the code of a network in the sandbox."""


def read_targets(path: Path) -> list[str]:
    """Read the names of blocks to grade, separated by white space in a file. Raises: UserError."""
    return read_text(path).split()


def choose_targets(names: Sequence[str], sources: Sequence[str], limit: int | None) -> list[str]:
    """Return the blocks to grade: those of the given sources or all, or a random `limit` of them.

    Raises: UserError if a source has none of the names.
    """
    known = sorted({name.partition(":")[0] for name in names})
    for one in sources:
        if one not in known:
            raise UserError("has no block in the index", where=one, hint=nearest(one, known))
    chosen = [name for name in names if not sources or name.partition(":")[0] in sources]
    if limit is not None and limit < len(chosen):
        chosen = sorted(random.Random(0).sample(chosen, limit))
    return chosen


def grade(extractor: Extractor, target: str, train: Train | None) -> Grade:
    """Extract a block and grade it; without `train` nothing is run."""
    began = time.process_time()
    try:
        found = extractor.extract(target)
    except UserError as error:
        why = f"not found: {error.what}"
        if isinstance(error, ExtractionRefused):
            why = f"refused: {', '.join(error.names) or error.what}"
        return Grade(target, BlockLevel.NOTHING, why, 0.0, decisions_of_error(target, error))
    seconds = time.process_time() - began
    verdict, decisions = found.checked, found.decisions
    if not verdict.parses:
        return Grade(target, BlockLevel.NOTHING, f"syntax: {verdict.syntax}", seconds, decisions)
    if not verdict.closed:
        names = ", ".join([*verdict.undefined, *verdict.imported]) or verdict.missing
        return Grade(target, BlockLevel.COMPILES, f"not closed: {names}", seconds, decisions)
    if train is None:
        return Grade(target, BlockLevel.CLOSED, "", seconds, decisions)
    level, why = _run(train(block_network.network(found.code, found.name)))
    if level is BlockLevel.CLOSED:
        decisions = (*decisions, import_fault(target, why))
    return Grade(target, level, why, seconds, decisions)


def _run(outcome: Evaluation | Refusal) -> tuple[BlockLevel, str]:
    if isinstance(outcome, Evaluation):
        return BlockLevel.RUNS, ""
    reason = f"{outcome.reason} {outcome.detail}"
    for level, start in _REACHED:
        if start in reason:
            return level, reason[reason.index(start) :]
    if outcome.stage in (Stage.FORWARD, Stage.TRAIN, Stage.JUDGE):
        return BlockLevel.BUILDS, f"{outcome.stage}: {outcome.reason}"
    return BlockLevel.CLOSED, f"{outcome.stage}: {outcome.reason}"


def tallies(grades: Iterable[Grade]) -> Iterator[Tally]:
    """Yield the counts of each source's grades, in the order of first appearance."""
    by_source: dict[str, list[Grade]] = {}
    for one in grades:
        by_source.setdefault(one.target.partition(":")[0], []).append(one)
    for source, own in by_source.items():
        ranks = [LEVELS.index(one.level) for one in own]
        reached = {
            level: sum(n >= rank for n in ranks) for rank, level in enumerate(LEVELS) if rank
        }
        failures = Counter(one.why.partition(":")[0] for one in own if one.why)
        seconds = sum(one.seconds for one in own)
        yield Tally(source, len(own), reached, dict(failures.most_common()), seconds)
