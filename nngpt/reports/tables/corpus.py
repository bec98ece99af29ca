"""Tables of a corpus's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

_REASONS = 6
_FAMILIES = 6


def funnel_table(manifest: Mapping[str, Any]) -> Table:
    """What became of the networks of the mirror, step by step, with the most frequent reasons."""
    funnel = manifest["funnel"]
    table = Table("step", "left out", "left", "why", title="From the mirror to the corpus")
    for number in (1, 2):
        table.columns[number].justify = "right"
    table.add_row("in the mirror", "", f"{funnel['start']:,}", "")
    for step in funnel["steps"]:
        reasons = [f"{count:,} {reason}" for reason, count in step["reasons"].items()]
        if len(reasons) > _REASONS:
            rest = list(step["reasons"].values())[_REASONS:]
            reasons = [*reasons[:_REASONS], f"{sum(rest):,} for {len(rest)} other reasons"]
        why = Text("\n".join(reasons) or "–")
        table.add_row(step["step"], f"{step['lost']:,}", f"{step['left']:,}", why)
    return table


def splits_table(manifest: Mapping[str, Any]) -> Table:
    """The parts: how many networks and pairs, of which families."""
    table = Table("part", "networks", "pairs", "share", "families", title="Parts")
    for number in (1, 2, 3):
        table.columns[number].justify = "right"
    for part, facts in manifest["splits"].items():
        names = list(facts["families"].items())
        shown = ", ".join(f"{name} {count:,}" for name, count in names[:_FAMILIES])
        more = f" and {len(names) - _FAMILIES} more" if len(names) > _FAMILIES else ""
        table.add_row(
            part,
            f"{facts['networks']:,}",
            f"{facts['pairs']:,}",
            f"{facts['share']:.1%}",
            Text(shown + more or "–"),
        )
    return table
