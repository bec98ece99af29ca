"""A run as one HTML page that needs nothing but itself, with its figures and tables as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import yaml
from markupsafe import Markup

from nngpt import __version__
from nngpt.records import Arm
from nngpt.reports.analysis.layers import KINDS
from nngpt.reports.analysis.study import Study
from nngpt.reports.dedup.page import environment
from nngpt.reports.run import sheets
from nngpt.reports.run.gallery import gallery
from nngpt.reports.run.plots import Plot, plots
from nngpt.reports.run.tables import csv_text, tables
from nngpt.reports.run.text import NAMES, accuracy, duration, percent, verdict, warnings
from nngpt.statistics import share


@dataclass(frozen=True)
class Report:
    """Everything that is written.

    Attributes:
        page: the HTML.
        figures: bytes by file name.
        tables: CSV by file name.
        config: the run's configuration as YAML.
        verdict: the sentences at the head of the page.
        warnings: those before them.
    """

    page: str
    figures: dict[str, bytes]
    tables: dict[str, str]
    config: str
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]


def report(study: Study, best: int = 6, command: str = "") -> Report:
    """Draw, write and tabulate a run.

    Args:
        study: the run in figures.
        best: how many networks the gallery shows.
        command: that made this report, for the page.
    """
    drawn = plots(study)
    config = yaml.safe_dump(dict(study.run.config), sort_keys=False, allow_unicode=True)
    return Report(
        page=_page(study, drawn, best, config, command),
        figures={
            f"{plot.name}.{kind}": data
            for plot in drawn
            if plot.images is not None
            for kind, data in (("png", plot.images.png), ("pdf", plot.images.pdf))
        },
        tables={f"{name}.csv": csv_text(rows) for name, rows in tables(study).items()},
        config=config,
        verdict=tuple(verdict(study)),
        warnings=tuple(warnings(study)),
    )


def _page(study: Study, drawn: list[Plot], best: int, config: str, command: str) -> str:
    shown = {plot.name: plot for plot in drawn}
    return (
        environment()
        .get_template("run.html")
        .render(
            run=study.run,
            study=study,
            version=__version__,
            date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            verdict=verdict(study),
            warnings=warnings(study),
            tiles=tiles(study),
            plots=shown,
            svg={p.name: Markup(p.images.svg) for p in drawn if p.images is not None},
            story=sheets.story(study),
            refusals=sheets.refusals(study),
            differences=sheets.differences(study),
            adapters=sheets.adapters(study),
            proxy=sheets.proxy(study),
            fronts=sheets.fronts(study),
            costs=sheets.costs(study),
            gallery=gallery(study, best),
            kinds=KINDS,
            skipped=[(p.cycle, p.skipped) for p in study.loop if p.skipped],
            arms=[NAMES[arm] for arm in study.arms],
            config=config.splitlines(),
            command=command,
        )
    )


def tiles(study: Study) -> list[tuple[str, str, str]]:
    """(figure, what it is, its interval or a remark) at the head of the page."""
    loop = study.loop
    written = sum(p.written for p in loop)
    valid = share(sum(len(p.accuracies) for p in loop), written)
    best = max((p.best for p in loop if p.best), key=lambda e: e.value, default=None)
    admitted = sum(p.admitted + p.repairs_admitted for p in loop)
    found = [
        (f"{len(loop):,}", "cycles", study.run.status),
        (f"{written:,}", "candidates of the loop", _controls(study)),
        (f"{valid.value:.0%}" if valid else "–", "valid", _ends(percent(valid))),
        (f"{best.value:.1%}" if best else "–", "best accuracy", _ends(accuracy(best))),
        (f"{admitted:,}", "admitted", f"learned from {study.initial + admitted:,}"),
        (duration(study.costs.seconds), "spent" if study.costs.measured else "summed", ""),
    ]
    if study.costs.joules is not None:
        found.append((sheets.energy(study.costs.joules), "energy", "reported by devices"))
    return found


def _controls(study: Study) -> str:
    count = sum(p.written for arm in study.arms if arm is not Arm.LOOP for p in study.points[arm])
    return f"and {count:,} of controls" if count else "no controls"


def _ends(text: str) -> str:
    """Only the interval of a figure with one."""
    _, bracket, rest = text.partition(" [")
    return f"95%: {rest.rstrip(']')}%" if bracket else ""
