"""Records of name uses in a statement: where, when, and which local names are visible."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nngpt.retrieval.scope import Binding, Import
from nngpt.retrieval.source_text import Span


class UseTime(Enum):
    """When a name is looked up."""

    IMPORT = "when the module is imported"
    CALL = "when a function runs"
    ANNOTATION = "in an annotation"


@dataclass(frozen=True)
class NameUse:
    """One use of a name that is not local.

    Attributes:
        span: byte range of the name; None if unknown (in f-strings before Python 3.12).
        chain: attributes read from it, with their ends: `a.b.c` gives b, c.
        hidden: visible local names, which a new name must not equal.
        store: True if the name is bound there, not read.
        binding: the import inside a function or class that binds the name, or None.
        whole: byte range of the enclosing annotation or f-string, or None.
    """

    name: str
    span: Span | None
    when: UseTime
    chain: tuple[tuple[str, int], ...] = ()
    hidden: frozenset[str] = frozenset()
    store: bool = False
    binding: Binding | None = None
    whole: Span | None = None


@dataclass
class StatementUses:
    """Name uses and inner imports of a statement."""

    uses: list[NameUse] = field(default_factory=list)
    imports: list[InnerImport] = field(default_factory=list)


@dataclass(frozen=True)
class InnerImport:
    """An import statement inside a compound statement, class or function.

    Attributes:
        followed: names that only this import binds in its function, so that uses can be replaced.
        hidden: visible local names.
        top: True at module level.
    """

    statement: Import
    span: Span
    when: UseTime
    followed: frozenset[str]
    hidden: frozenset[str]
    top: bool
