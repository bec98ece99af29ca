"""Console tables of `nngpt rag`: libraries, found blocks, grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from nngpt.retrieval.decisions import AUTOMATIC_FIX, Decision, by_failure, by_kind
from nngpt.retrieval.grading import LEVELS, BlockLevel, Tally
from nngpt.retrieval.search import SearchHit
from nngpt.statistics import percent_of


def sources_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of indexed libraries."""
    table = Table("source", "version", "licence", "kind", "files", "blocks", box=None)
    for row in rows:
        licence = f"{row['licence']}{' (copyleft)' if row['copyleft'] else ''}"
        counts = (f"{row['files']:,}", f"{row['blocks']:,}")
        table.add_row(row["source"], row["version"], licence, row["kind"], *counts)
    return table


def hits_table(hits: Sequence[SearchHit], needs: Sequence[str]) -> Table:
    """Return the table of library blocks that a search found, and what each `needs`."""
    table = Table("score", "block", "licence", "needs beyond torch", "docstring", box=None)
    for hit, need in zip(hits, needs, strict=True):
        block = hit.block
        table.add_row(f"{hit.score:.1f}", block.target, block.licence, need or "–", block.doc[:80])
    return table


def tally_table(tallies: Sequence[Tally], run: bool) -> Table:
    """Return how many library blocks of each source reach each level, and why others fail."""
    levels = LEVELS[1:] if run else (BlockLevel.COMPILES, BlockLevel.CLOSED)
    table = Table("source", "blocks", *levels, "s per block", "failures", box=None)
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


def audit_tables(audits: Mapping[str, Sequence[Decision]]) -> list[Table]:
    """Return two tables of audits (block → its decisions): by kind, and failures by class."""
    kinds = Table("decision", "count", "blocks that have one", "most frequent", box=None)
    for kind, count in by_kind(audits).items():
        share = percent_of(count.blocks, len(audits))
        kinds.add_row(kind, f"{count.decisions:,}", share, ", ".join(count.names))
    failures = Table("failure", "decision", "count", "blocks", "names", "automatic fix", box=None)
    for (failure, kind), count in by_failure(audits).items():
        share = percent_of(count.blocks, len(audits))
        names = ", ".join(count.names)
        row = (failure, kind, f"{count.decisions:,}", share, names, AUTOMATIC_FIX[failure])
        failures.add_row(*row)
    return [kinds, failures]
