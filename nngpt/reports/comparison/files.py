"""The files of a comparison's report: page, Markdown and JSON beside the record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nngpt.config import differing
from nngpt.files import write_file
from nngpt.finetuning.compare.corpus import ReferenceCorpus
from nngpt.finetuning.compare.records import ArmFacts, read_record
from nngpt.reports.comparison.figures import (
    Accuracies,
    AdapterDifference,
    ComparisonFigures,
    compute_figures,
)
from nngpt.reports.comparison.plots import plots
from nngpt.reports.comparison.sheets import corpus_line, sheets
from nngpt.reports.pages import render
from nngpt.reports.sheets import markdown_table
from nngpt.statistics import Count, Estimate, mean_half_width, median, wilson


def write_files(
    folder: Path, corpus: ReferenceCorpus | None
) -> tuple[ComparisonFigures, str, list[Path]]:
    """Write a comparison's report in a folder; return its figures, JSON text and files."""
    found = compute_figures(read_record(folder), corpus)
    text = json.dumps(as_json(found), indent=1, allow_nan=False)
    written = []
    for kind, content in {"json": text, "md": markdown(found), "html": page(found)}.items():
        written.append(folder / f"comparison.{kind}")
        write_file(written[-1], [content.encode("utf-8", "backslashreplace")])
    return found, text, written


def page(found: ComparisonFigures) -> str:
    """Return a comparison as a self-contained HTML page, which shows all names as text."""
    return render(
        "comparison.html",
        title=title(found),
        started=found.sessions[-1].started if found.sessions else "",
        machines=machines(found),
        commands=commands(found),
        notes=list(notes(found)),
        plots=plots(found),
        sheets=sheets(found),
    )


def markdown(found: ComparisonFigures) -> str:
    """Return a comparison's Markdown file: what was compared, on which machine, all tables."""
    return "\n".join([*_head(found), "", *map(markdown_table, sheets(found))])


def as_json(found: ComparisonFigures) -> dict[str, Any]:
    """Return the JSON file of a comparison: all figures with their intervals, for a script."""
    values: dict[str, Any] = _plain(found)
    values["cells"] = values.pop("results")
    for speed, data in zip(found.speed, values["speed"], strict=True):
        data["tokens_per_s"] = speed.tokens_per_s
    if found.corpus:
        values["corpus"]["networks"] = len(found.corpus.networks)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, Count):
        share = value.hits / value.total if value.total else None
        return {**value._asdict(), "share": share, "interval": wilson(*value)}
    if isinstance(value, Estimate):
        return {"value": value.value, "interval": value.interval}
    if isinstance(value, Accuracies):
        return _accuracy(value)
    if is_dataclass(value):
        plain = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        if isinstance(value, AdapterDifference):
            gap = plain.pop("found")
            plain |= {"n": value.found.count, "base_n": value.found.other_count}
            plain |= {"difference": gap["value"], "interval": gap["interval"]}
        return plain
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _accuracy(found: Accuracies) -> dict[str, Any]:
    middle = median(found.runs)
    return {
        "runs": _mean(found.runs),
        "distinct": _mean(found.distinct),
        "all": _mean(found.everything),
        "median": middle.value if middle else None,
        "best": max(found.runs, default=None),
        "images": found.images,
        "values": found.runs,
    }


def _mean(values: Sequence[float]) -> dict[str, Any]:
    mean, half = mean_half_width(values) if values else (None, None)
    return {"n": len(values), "mean": mean, "half_width": half}


def title(found: ComparisonFigures) -> str:
    """Return the title in a comparison's files, which names the arms."""
    return "Comparison: " + ", ".join(arm.name for arm in found.arms)


def machines(found: ComparisonFigures) -> list[str]:
    """Return the machines named in a comparison's files: processor, cores, GPU, versions."""
    return list(dict.fromkeys(_machine_line(session.machine) for session in found.sessions))


def commands(found: ComparisonFigures) -> list[str]:
    """Return the command lines written to a comparison's files, one per kind of session."""
    return list(dict.fromkeys(session.command for session in found.sessions))


def notes(found: ComparisonFigures) -> Iterator[str]:
    """Yield the remarks in a comparison's files: no base model, other settings, open work."""
    first = next((arm for arm in found.arms if arm.is_base), None)
    if first is None:
        yield "No arm is the base model, so the effect of learning cannot be seen."
    for arm in found.arms:
        changed = _deviations(first or found.arms[0], arm)
        if changed:
            whose = (first or found.arms[0]).name
            yield f"{arm.name} differs from {whose} in: {', '.join(changed)}."
    if any(not result.finished for result in found.results):
        yield "Not finished: rows marked with * count only what has been judged so far."
    counts = {result.fit[1] for result in found.results}
    if counts and min(counts) < 100:
        yield f"Fewer than 100 samples in a cell (the fewest: {min(counts)})."


def _head(found: ComparisonFigures) -> Iterator[str]:
    yield "## " + title(found)
    yield ""
    for session in found.sessions[-1:]:
        yield f"{session.started[:10]}, {_machine_line(session.machine)}."
    if len(machines(found)) > 1:
        others = {_machine_line(s.machine) for s in found.sessions[:-1]}
        yield f"Started on {'; '.join(sorted(others))}."
    yield ""
    yield "```console"
    for command in commands(found):
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


def _machine_line(machine: Mapping[str, Any]) -> str:
    gpu = machine["gpu"] or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"{machine['cpu']}, {machine['cores']} cores, {gpu}; {versions}"


def _deviations(first: ArmFacts, arm: ArmFacts) -> list[str]:
    found = differing(first.settings, arm.settings)
    changed = [f"{path} {new} instead of {old}" for path, old, new in found]
    other = first.template_hash != arm.template_hash
    if other and not any(change.startswith("prompt.") for change in changed):
        changed.append(f"prompt {arm.template_hash} instead of {first.template_hash}")
    return changed
