"""Console tables of data sets, models and adapters, and of a corpus with its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import RenderableType
from rich.table import Column, Table
from rich.text import Text

from nngpt.data.loading import DatasetSummary
from nngpt.errors import readable
from nngpt.generation.models.embedded import EmbeddedModel
from nngpt.records import Adapter
from nngpt.reports.sheets import right

if TYPE_CHECKING:
    from nngpt.data.sources.image_folder import FolderReport

_MAX_REASONS = 6
_MAX_FAMILIES = 6


def data_sets_table(rows: Sequence[DatasetSummary], terminal: bool) -> Table:
    """Return the table of data sets: shape, classes, images, and whether they are cached."""
    table = _listing("data set", "shape", "classes", "images", "cached", terminal=terminal)
    for row in rows:
        shape = "×".join(map(str, row.shape)) if row.shape else "that of your images"
        cached = "yes" if row.cached else "no" if row.shape else "needs --root"
        counts = ("" if count is None else f"{count:,}" for count in (row.classes, row.images))
        table.add_row(row.name, shape, *counts, cached)
    return table


def folder_parts(report: FolderReport, terminal: bool) -> Iterator[RenderableType]:
    """Yield what `nngpt data check` prints: the classes with their counts, and lines of text."""
    layout, survey = report.layout, report.survey
    heads = [layout.folders[part] or "images" for part in layout.parts]
    table = _listing("class", *right(*heads), terminal=terminal)
    counts = [layout.counts(part) for part in layout.parts]
    for name, *row in zip(layout.class_names, *counts, strict=True):
        table.add_row(Text(name), *(f"{count:,}" for count in row))
    yield table
    for title, text in _folder_lines(report):
        yield f"{title + ':':12}{text}"
    for path, why in survey.broken.items():
        yield readable(f"{'skipped:':12}{path} {why}")


def _folder_lines(report: FolderReport) -> Iterator[tuple[str, str]]:
    """Yield title and text of each fact about a folder of images."""
    layout, survey, (used, *left_out) = report.layout, report.survey, report.layout.notes
    yield "folder", str(layout.root)
    yield "used", used
    widths, heights = zip(*survey.sizes, strict=True)
    few, many = f"{min(widths)}×{min(heights)}", f"{max(widths)}×{max(heights)}"
    yield "sizes", f"{few} to {many} (width × height)" if few != many else few
    yield "formats", ", ".join(f"{name} {count:,}" for name, count in survey.formats.most_common())
    kinds = ("colour", "grey", "deep", "transparent", "turned", "animated")
    names = {"deep": "deeper than 8 bits", "turned": "turned (EXIF)"}
    found = {names.get(kind, kind): getattr(survey, kind) for kind in kinds}
    yield "kinds", ", ".join(f"{name} {count:,}" for name, count in found.items() if count)
    for reason in report.reasons:
        yield "chosen", reason
    for note in left_out:
        yield "note", note


def folder_json(report: FolderReport) -> dict[str, Any]:
    """Return what `nngpt data check` finds in a folder of images, for a script."""
    layout, survey = report.layout, report.survey
    widths, heights = zip(*survey.sizes, strict=True)
    kinds = ("colour", "grey", "deep", "transparent", "turned", "animated")
    return {
        "root": str(layout.root),
        "classes": list(layout.class_names),
        "parts": {
            part: {"folder": layout.folders[part], "use": use, "images": layout.counts(part)}
            for part, use in layout.roles.items()
        },
        "widths": [min(widths), max(widths)],
        "heights": [min(heights), max(heights)],
        "most_common_sizes": [[*size, count] for size, count in survey.sizes.most_common(5)],
        "formats": dict(survey.formats),
        **{kind: getattr(survey, kind) for kind in kinds},
        "format": asdict(report.format),
        "reasons": list(report.reasons),
        "left_out": {why: list(paths) for why, paths in layout.left_out.items()},
        "skipped": dict(survey.broken),
        "refused": report.refusal.line() if report.refusal else None,
    }


def models_table(rows: Sequence[tuple[EmbeddedModel, Path | None]], terminal: bool) -> Table:
    """Return the table of embedded models: bytes to download, on disk once used, in the cache."""
    table = _listing(
        "model", "size", "in use", "license", "cached", "description", terminal=terminal
    )
    for model, file in rows:
        sizes = (f"{size / 1e6:,.0f} MB" for size in (model.size, model.disk))
        table.add_row(model.name, *sizes, model.license, "yes" if file else "no", model.about)
    return table


def models_json(rows: Sequence[tuple[EmbeddedModel, Path | None]]) -> list[dict[str, Any]]:
    """Return the embedded models, each with the path of its file in the cache, for a script."""
    names = ("name", "about", "license", "size", "disk", "sha256")
    return [
        {**{name: getattr(model, name) for name in names}, "path": str(file) if file else None}
        for model, file in rows
    ]


def adapters_table(found: Sequence[Adapter], terminal: bool) -> Table:
    """Return the table of adapters: base model, number of training pairs, model card."""
    table = _listing("adapter", "base model", "pairs", "model card", terminal=terminal)
    for adapter in found:
        table.add_row(adapter.name, adapter.base, f"{adapter.pairs:,}", f"{adapter.path}/README.md")
    return table


def _listing(name: str, *heads: str | Column, terminal: bool) -> Table:
    """Return an empty table, with lines on a terminal only, whose first column never wraps."""
    return Table(Column(name, no_wrap=True), *heads, box=SIMPLE if terminal else None)


def corpus_parts(manifest: Mapping[str, Any], folder: Path) -> Iterator[RenderableType]:
    """Yield the tables of training data in a corpus, and the setting that learns it."""
    yield _exclusions_table(manifest)
    yield _parts_table(manifest)
    yield f"Use it: nngpt cycle run … --set learning.corpus={folder / 'train.jsonl'}"


def _exclusions_table(manifest: Mapping[str, Any]) -> Table:
    """Return the table of training data that each step of a corpus build excluded."""
    funnel = manifest["funnel"]
    title = "From the mirror to the corpus"
    table = Table("step", *right("excluded", "left"), "reasons", title=title)
    table.add_row("LEMUR mirror", "", f"{funnel['start']:,}", "")
    for step in funnel["steps"]:
        reasons = [f"{count:,} {reason}" for reason, count in step["reasons"].items()]
        if len(reasons) > _MAX_REASONS:
            rest = list(step["reasons"].values())[_MAX_REASONS:]
            reasons = [*reasons[:_MAX_REASONS], f"{sum(rest):,} for {len(rest)} other reasons"]
        shown = Text("\n".join(reasons) or "–")
        table.add_row(step["step"], f"{step['lost']:,}", f"{step['left']:,}", shown)
    return table


def _parts_table(manifest: Mapping[str, Any]) -> Table:
    """Return a table of a corpus's parts: their networks, pairs and largest families."""
    table = Table("part", *right("networks", "pairs", "share"), "families", title="Parts")
    for part, facts in manifest["splits"].items():
        names = list(facts["families"].items())
        shown = ", ".join(f"{name} {count:,}" for name, count in names[:_MAX_FAMILIES])
        more = f" and {len(names) - _MAX_FAMILIES} more" if len(names) > _MAX_FAMILIES else ""
        numbers = (f"{facts['networks']:,}", f"{facts['pairs']:,}", f"{facts['share']:.1%}")
        table.add_row(part, *numbers, Text(shown + more or "–"))
    return table
