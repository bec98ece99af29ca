"""The files of a comparison's report: page, Markdown and JSON beside the record."""

from __future__ import annotations

import json
from pathlib import Path

from nngpt.finetuning.compare.corpus import ReferenceCorpus
from nngpt.finetuning.compare.samples import read
from nngpt.reports.comparison.figures import ComparisonFigures, compute_figures
from nngpt.reports.comparison.plots import plots
from nngpt.reports.comparison.sheets import sheets
from nngpt.reports.comparison.text import as_json, commands, machines, markdown, notes, title
from nngpt.reports.pages import render


def write_files(
    folder: Path, corpus: ReferenceCorpus | None
) -> tuple[ComparisonFigures, str, list[Path]]:
    """Write the report of the record in a folder; return its figures, JSON text and files."""
    found = compute_figures(read(folder), corpus)
    text = json.dumps(as_json(found), indent=1, allow_nan=False)
    written = []
    for kind, content in {"json": text, "md": markdown(found), "html": page(found)}.items():
        draft, target = folder / f".comparison.{kind}.part", folder / f"comparison.{kind}"
        draft.write_text(content, encoding="utf-8", errors="backslashreplace")
        draft.rename(target)
        written.append(target)
    return found, text, written


def page(found: ComparisonFigures) -> str:
    """Return the self-contained HTML page, which shows all names as text."""
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
