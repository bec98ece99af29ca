"""Tables of `nngpt rag`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nngpt.retrieval.grading import LEVELS, Level, Tally
from nngpt.statistics import percent_of


def tally_table(tallies: Sequence[Tally], run: bool) -> Table:
    """How many blocks of each source reach each level, and why the others do not."""
    levels = LEVELS[1:] if run else (Level.COMPILES, Level.CLOSED)
    table = Table("source", "blocks", *levels, "s a block", "why not", box=None)
    for one in tallies:
        failures = ", ".join(f"{kind} {count}" for kind, count in one.failures.items())
        table.add_row(
            one.source,
            f"{one.blocks:,}",
            *(percent_of(one.reached[level], one.blocks) for level in levels),
            f"{one.seconds / one.blocks:.3f}",
            failures,
        )
    return table
