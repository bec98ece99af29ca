"""A comparison as one HTML page that needs nothing but itself."""

from __future__ import annotations

from nngpt import __version__
from nngpt.comparison.figures import Figures
from nngpt.reporting import comparison_charts as charts
from nngpt.reporting.comparison_sheets import sheets
from nngpt.reporting.comparison_text import corpus_line, machine_line, notes, title
from nngpt.reporting.dedup_report import environment


def page(found: Figures) -> str:
    """The page; names are shown as text."""
    template = environment().get_template("comparison.html")
    return template.render(
        title=title(found),
        version=__version__,
        sessions=found.sessions,
        machines=list(dict.fromkeys(machine_line(s.machine) for s in found.sessions)),
        commands=list(dict.fromkeys(s.command for s in found.sessions)),
        notes=list(notes(found)),
        corpus=corpus_line(found).replace("`", "") if found.corpus else "",
        sheets=sheets(found),
        validity=charts.validity(found),
        accuracies=charts.accuracies(found),
        nearest=charts.nearest(found),
    )
