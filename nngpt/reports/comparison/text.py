"""A comparison as Markdown for the documentation, and as JSON for a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from nngpt.finetuning.compare.records import ArmFacts
from nngpt.reports.comparison.figures import Figures, Share
from nngpt.reports.comparison.sheets import sheets
from nngpt.reports.sheets import markdown_table


def markdown(found: Figures) -> str:
    """A section of documentation: what was compared, on what, and all tables."""
    return "\n".join([*head(found), "", *map(markdown_table, sheets(found))])


def everything(found: Figures) -> dict[str, Any]:
    """For a script: all figures, with intervals."""
    values: dict[str, Any] = asdict(found)
    for cell, data in zip(found.cells, values["cells"], strict=True):
        data |= {key: _share(getattr(cell, key)) for key in ("fit", "runs", "distinct")}
        if data["accuracy"]:
            del data["accuracy"]["all_values"]
    for copies, data in zip(found.copies, values["copies"], strict=True):
        data |= {key: _share(getattr(copies, key)) for key in ("valid", "fit", "verbatim")}
    for diversity, data in zip(found.diversity, values["diversity"], strict=True):
        data |= {key: _share(getattr(diversity, key)) for key in ("distinct", "apart")}
    for speed, data in zip(found.speed, values["speed"], strict=True):
        data |= {"cut_off": _share(speed.cut_off), "tokens_per_s": speed.tokens_per_s}
    if found.corpus:
        values["corpus"]["networks"] = len(found.corpus.networks)
    return values


def head(found: Figures) -> Iterator[str]:
    """What was compared, when, where and how, in lines of Markdown."""
    yield "## " + title(found)
    yield ""
    for session in found.sessions[-1:]:
        yield f"{session.started[:10]}, {machine_line(session.machine)}."
    if len({machine_line(s.machine) for s in found.sessions}) > 1:
        others = {machine_line(s.machine) for s in found.sessions[:-1]}
        yield f"Begun on {'; '.join(sorted(others))}."
    yield ""
    yield "```console"
    for command in dict.fromkeys(s.command for s in found.sessions):
        yield f"$ {command}"
    yield "```"
    yield ""
    if found.corpus:
        yield corpus_line(found)
        yield ""
    yield "Raw: nothing was repaired. All intervals are 95%."
    for note in notes(found):
        yield ""
        yield note


def title(found: Figures) -> str:
    """The arms in a line."""
    return "Comparison: " + ", ".join(arm.name for arm in found.arms)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Processor, cores, GPU and versions."""
    gpu = machine["gpu"] or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {gpu}; {versions}"


def corpus_line(found: Figures) -> str:
    """What copies are looked for in."""
    corpus = found.corpus
    assert corpus is not None
    files = ", ".join(f"`{file}`" for file in corpus.files)
    more = f" ({corpus.left_out:,} answers left out: the contract refuses them)"
    return (
        f"Training corpus: {len(corpus.networks):,} distinct networks of {files}, "
        f"sha256 {corpus.digest[:12]}{more if corpus.left_out else ''}."
    )


def notes(found: Figures) -> Iterator[str]:
    """What a reader must know: no base, other settings, something unfinished."""
    first = next((arm for arm in found.arms if arm.is_base), None)
    if first is None:
        yield "No arm is the frozen base, so nothing here says what learning changed."
    for arm in found.arms:
        changed = _deviations(first or found.arms[0], arm)
        if changed:
            whose = (first or found.arms[0]).name
            yield f"{arm.name} deviates from {whose}: {', '.join(changed)}."
    if any(not cell.finished for cell in found.cells):
        yield "Not finished: rows marked with * count only what has been judged so far."
    counts = {cell.fit.total for cell in found.cells}
    if counts and min(counts) < 100:
        yield f"Fewer than 100 samples in a cell (the fewest: {min(counts)})."


def _deviations(first: ArmFacts, arm: ArmFacts) -> list[str]:
    changed = list(_changes(first.settings, arm.settings, ""))
    other = first.template_hash != arm.template_hash
    if other and not any(change.startswith("prompt.") for change in changed):
        changed.append(f"prompt {arm.template_hash} instead of {first.template_hash}")
    return changed


def _changes(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        yield f"{path} {new} instead of {old}"


def _share(share: Share | None) -> dict[str, Any] | None:
    if share is None:
        return None
    value = share.hits / share.total if share.total else None
    return {"hits": share.hits, "total": share.total, "share": value, "interval": share.interval}
