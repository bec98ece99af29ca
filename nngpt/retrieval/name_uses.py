"""The module-level names that a statement uses: where, when, and behind which local names."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from nngpt.retrieval.scope import Binding, Import
from nngpt.retrieval.source_text import Span


class When(Enum):
    """When a name is looked up."""

    NOW = "when the module is imported"
    LATER = "when a function runs"
    NEVER = "in an annotation"


@dataclass(frozen=True)
class Use:
    """One use of a name that is not local.

    Attributes:
        span: where the name lies; None if it cannot be told (an f-string before Python 3.12).
        chain: attributes read from it, with where each ends: `a.b.c` is b, c.
        hidden: the local names in sight, which a new name must not be.
        store: True if it is bound there, not read.
        binding: the import inside a function or class that the name stands for, if any.
        whole: for an annotation, all of it; for an f-string, all of it.
    """

    name: str
    span: Span | None
    when: When
    chain: tuple[tuple[str, int], ...] = ()
    hidden: frozenset[str] = frozenset()
    store: bool = False
    binding: Binding | None = None
    whole: Span | None = None


@dataclass
class Uses:
    """What a statement uses, and the import statements inside it.

    Attributes:
        imports: each with the local names in sight, True if its bindings are read through
            (nothing else binds them in that function), and True at module level.
    """

    uses: list[Use] = field(default_factory=list)
    imports: list[InnerImport] = field(default_factory=list)


@dataclass(frozen=True)
class InnerImport:
    """An import statement inside a compound statement, class or function."""

    statement: Import
    span: Span
    when: When
    followed: frozenset[str]
    hidden: frozenset[str]
    top: bool
