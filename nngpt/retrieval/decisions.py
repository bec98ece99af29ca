"""Decisions about imports and scopes that extractions make: their kinds, failures and counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeVar

_Key = TypeVar("_Key", bound=Hashable)


class DecisionKind(StrEnum):
    """What an extraction decided about one name."""

    DEFINITION = "definition"  # taken into the file
    STATEMENT = "statement"  # taken, because it changes an object of the file, such as a registry
    RENAME = "rename"  # of a definition or import, because two things have one name
    IMPORT = "import"  # at the top of the file
    IN_FUNCTION = "import in a function"  # moved or left there
    UNDER_GUARD = "import under a guard"  # left there, such as in a `try`
    OPERATOR = "operator"  # of `torch.ops`, which the library compiles and the file lacks
    UNRESOLVED = "unresolved"  # a name that nothing binds
    REFUSAL = "refusal"  # no file: a name that is needed when it is imported
    FAULT = "fault"  # a file that does not compile, is not closed, or cannot be imported


class FailureClass(StrEnum):
    """Why an import or a name is not resolved."""

    PACKAGE = "missing package"  # neither torch, nor the standard library, nor indexed
    AMBIGUOUS = "ambiguous"  # several modules define the name, or fill the registry
    UNDEFINED = "never defined"  # a name that no statement of the library binds
    COMPILED = "compiled"  # an operator, or a module of an indexed package without Python file
    GENERATION = "generation"  # a fault of the extractor
    OTHER = "other"


AUTOMATIC_FIX = {
    FailureClass.PACKAGE: "sometimes: index the package",
    FailureClass.AMBIGUOUS: "none: a person chooses",
    FailureClass.UNDEFINED: "none",
    FailureClass.COMPILED: "none",
    FailureClass.GENERATION: "none: a fault of nngpt",
    FailureClass.OTHER: "none",
}
"""What could mend a failure without a person; docs/rag.md says where it would be wrong."""


@dataclass(frozen=True)
class Decision:
    """One decision of one extraction.

    Attributes:
        name: dotted name of what was decided on.
        source, file, module, line: the code of a definition or statement; for other kinds, the
            first use. Empty, and line 0, if an extraction did not begin.
        needed_by: definition that needs it, `module.name`; "" for the extracted class.
        detail: the new name of a rename, or the reason of a refusal or fault.
        failure: the class, if it is a failure.
    """

    kind: DecisionKind
    name: str
    source: str = ""
    file: str = ""
    module: str = ""
    line: int = 0
    needed_by: str = ""
    detail: str = ""
    failure: FailureClass | None = None


def json_lines(target: str, decisions: Sequence[Decision]) -> Iterator[bytes]:
    """Yield one line of JSON per decision of a block's extraction."""
    for decision in decisions:
        yield json.dumps({"block": target, **asdict(decision)}).encode() + b"\n"


@dataclass(frozen=True)
class DecisionCount:
    """Number of decisions of one sort, of blocks that have one, and the most frequent names."""

    decisions: int
    blocks: int
    names: tuple[str, ...]


def by_kind(audits: Mapping[str, Sequence[Decision]]) -> dict[DecisionKind, DecisionCount]:
    """Count the decisions of blocks (block → its decisions) by kind, in the enum's order."""
    found = _counted(audits, lambda one: one.kind)
    return {kind: found[kind] for kind in DecisionKind if kind in found}


def by_failure(
    audits: Mapping[str, Sequence[Decision]],
) -> dict[tuple[FailureClass, DecisionKind], DecisionCount]:
    """Count the failures of blocks (block → its decisions) by class, then by kind."""
    found = _counted(audits, lambda one: (one.failure, one.kind))
    pairs = ((failure, kind) for failure in FailureClass for kind in DecisionKind)
    return {pair: found[pair] for pair in pairs if pair in found}


def _counted(
    audits: Mapping[str, Sequence[Decision]], key: Callable[[Decision], _Key]
) -> dict[_Key, DecisionCount]:
    names: dict[_Key, Counter[str]] = {}
    blocks: Counter[_Key] = Counter()
    for decisions in audits.values():
        for one in decisions:
            names.setdefault(key(one), Counter())[one.name] += 1
        blocks.update({key(one) for one in decisions})
    return {
        one: DecisionCount(counts.total(), blocks[one], tuple(n for n, _ in counts.most_common(3)))
        for one, counts in names.items()
    }
