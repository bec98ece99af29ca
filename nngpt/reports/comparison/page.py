"""A comparison as one HTML page that needs nothing but itself."""

from __future__ import annotations

from nngpt import __version__
from nngpt.reports.comparison import charts
from nngpt.reports.comparison.figures import Figures
from nngpt.reports.comparison.sheets import sheets
from nngpt.reports.comparison.text import corpus_line, machine_line, notes, title
from nngpt.reports.dedup.page import environment


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
