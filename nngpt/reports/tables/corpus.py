"""Tables of a corpus: networks excluded by each step, and the parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_MAX_REASONS = 6
_MAX_FAMILIES = 6


def print_corpus(manifest: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print a corpus's tables, and the option that makes a run learn it."""
    console.print(exclusions_table(manifest))
    console.print(parts_table(manifest))
    train = folder / "train.jsonl"
    line = f"Use it: nngpt cycle run … --set learning.corpus={train}"
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def exclusions_table(manifest: Mapping[str, Any]) -> Table:
    """Return a table of the networks that each step excluded, with the most frequent reasons."""
    funnel = manifest["funnel"]
    table = Table("step", "excluded", "left", "reasons", title="From the mirror to the corpus")
    for number in (1, 2):
        table.columns[number].justify = "right"
    table.add_row("LEMUR mirror", "", f"{funnel['start']:,}", "")
    for step in funnel["steps"]:
        reasons = [f"{count:,} {reason}" for reason, count in step["reasons"].items()]
        if len(reasons) > _MAX_REASONS:
            rest = list(step["reasons"].values())[_MAX_REASONS:]
            reasons = [*reasons[:_MAX_REASONS], f"{sum(rest):,} for {len(rest)} other reasons"]
        shown = Text("\n".join(reasons) or "–")
        table.add_row(step["step"], f"{step['lost']:,}", f"{step['left']:,}", shown)
    return table


def parts_table(manifest: Mapping[str, Any]) -> Table:
    """Return a table of the parts: their networks, pairs and largest families."""
    table = Table("part", "networks", "pairs", "share", "families", title="Parts")
    for number in (1, 2, 3):
        table.columns[number].justify = "right"
    for part, facts in manifest["splits"].items():
        names = list(facts["families"].items())
        shown = ", ".join(f"{name} {count:,}" for name, count in names[:_MAX_FAMILIES])
        more = f" and {len(names) - _MAX_FAMILIES} more" if len(names) > _MAX_FAMILIES else ""
        table.add_row(
            part,
            f"{facts['networks']:,}",
            f"{facts['pairs']:,}",
            f"{facts['share']:.1%}",
            Text(shown + more or "–"),
        )
    return table
