"""A page for people about a corpus, made of its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MOST = 8


def card(manifest: Mapping[str, Any]) -> str:
    """The page, in Markdown."""
    return "\n".join(_page(manifest)) + "\n"


def _page(manifest: Mapping[str, Any]) -> Iterator[str]:
    template, funnel, splits = manifest["template"], manifest["funnel"], manifest["splits"]
    pairs = sum(part["pairs"] for part in splits.values())
    tasks = ", ".join(f"{name} ({_shape(task)})" for name, task in manifest["tasks"].items())
    yield "# Training pairs from the LEMUR mirror"
    yield ""
    yield (
        f"{funnel['kept']:,} networks as {pairs:,} prompt–answer pairs in `{template['mode']}` "
        f"mode (template `{template['name']}`, {template['hash']}) for {tasks}. Built by nngpt "
        f"{manifest['nngpt']}; `manifest.json` has all settings and counts."
    )
    yield ""
    yield "| step | networks left out | left |"
    yield "|---|---:|---:|"
    yield f"| in the mirror | | {funnel['start']:,} |"
    for step in funnel["steps"]:
        yield f"| {step['step']} | {step['lost']:,} | {step['left']:,} |"
    yield ""
    yield "| part | networks | pairs | families |"
    yield "|---|---:|---:|---|"
    for part, facts in splits.items():
        yield f"| {part} | {facts['networks']:,} | {facts['pairs']:,} | {_families(facts)} |"
    yield ""
    yield (
        "No family is in two parts. Families differ in size, so the shares are only near those "
        "asked for, and a part may hold few families: figures on dev and test speak for these."
    )
    yield ""
    yield (
        "Use it: `nngpt cycle run CONFIG --set learning.corpus=train.jsonl`. A line is a prompt "
        "(`messages`, `prefill`, `stop`) with the `completion` to learn; the other keys say where "
        "it came from. LEMUR's networks are under the MIT licence."
    )


def _shape(task: Mapping[str, Any]) -> str:
    return f"{'×'.join(map(str, task['shape']))}, {task['classes']} classes"


def _families(facts: Mapping[str, Any]) -> str:
    families = facts["families"]
    shown = [f"{name} {count:,}" for name, count in list(families.items())[:_MOST]]
    more = len(families) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "") or "–"
