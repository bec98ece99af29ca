"""A run's report: one self-contained HTML page, with its figures and tables as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from nngpt.config import upgraded
from nngpt.files import write_file
from nngpt.records import Arm
from nngpt.reports.analysis.layers import KINDS
from nngpt.reports.analysis.study import Study
from nngpt.reports.charts import Plot
from nngpt.reports.pages import render
from nngpt.reports.run import sheets
from nngpt.reports.run.gallery import gallery
from nngpt.reports.run.plots.catalog import plots
from nngpt.reports.run.sheets import tables
from nngpt.reports.run.verdict import verdict, warnings
from nngpt.reports.sheets import csv_text
from nngpt.reports.tables.confirm import proxies_sheet
from nngpt.reports.text import ARM_NAMES, accuracy, duration, energy, percent, plural

PAGE = "report.html"
"""File name of the page."""


@dataclass(frozen=True)
class Report:
    """A run's report: HTML page, images and CSV texts by file name, YAML config, conclusions."""

    page: str
    figures: dict[str, bytes]
    tables: dict[str, str]
    config: str
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]

    def write(self, folder: Path) -> list[Path]:
        """Write the report's files in a folder, and return their paths. Raises: UserError."""
        files = {
            folder / PAGE: self.page.encode(),
            folder / "config.yaml": self.config.encode(),
            **{folder / "figures" / name: data for name, data in self.figures.items()},
            **{folder / "tables" / name: text.encode() for name, text in self.tables.items()},
        }
        for path, data in files.items():
            write_file(path, [data], hint="Choose another with --out")
        return list(files)


def report(study: Study, best: int = 6, command: str = "") -> Report:
    """Return a run's report with `best` networks in the gallery; `command` is shown on the page."""
    drawn = plots(study)
    config = yaml.safe_dump(upgraded(study.run.config), sort_keys=False, allow_unicode=True)
    return Report(
        page=_page(study, drawn, best, config, command),
        figures={name: data for plot in drawn for name, data in plot.files.items()},
        tables={f"{name}.csv": csv_text(rows) for name, rows in tables(study).items()},
        config=config,
        verdict=tuple(verdict(study)),
        warnings=tuple(warnings(study)),
    )


def _page(study: Study, drawn: list[Plot], best: int, config: str, command: str) -> str:
    return render(
        "run.html",
        run=study.run,
        study=study,
        verdict=verdict(study),
        warnings=warnings(study),
        tiles=tiles(study),
        plots={plot.name: plot for plot in drawn},
        story=sheets.story(study),
        refusals=sheets.refusals(study),
        reasons=sheets.reasons(study),
        differences=sheets.differences(study),
        adapters=sheets.adapters(study),
        proxy=sheets.proxy(study),
        proxies=proxies_sheet(study.proxies) if study.proxies else None,
        fronts=sheets.fronts(study),
        costs=sheets.costs(study),
        gallery=gallery(study, best),
        kinds=KINDS,
        skipped=[(p.cycle, p.skipped) for p in study.loop if p.skipped],
        arms=[ARM_NAMES[arm] for arm in study.arms],
        config=config.splitlines(),
        command=command,
    )


def tiles(study: Study) -> list[tuple[str, str, str]]:
    """Return the tiles at the top of a run's page: figure, label, interval or remark."""
    written, valid, best, admitted = study.totals
    spent = "time spent" if study.costs.measured else "time, summed"
    others = sum(p.written for arm in study.arms if arm is not Arm.LOOP for p in study.points[arm])
    controls = f"and {others:,} of control arms" if others else "no control arms"
    cycles, noun = plural(len(study.loop), "cycle").split()
    found = [
        (cycles, noun, study.run.status),
        (f"{written:,}", "candidates of the loop", controls),
        _tile("valid", percent(valid)),
        _tile("best accuracy", accuracy(best)),
        (f"{admitted:,}", "admitted", f"training set {study.initial + admitted:,}"),
        (duration(study.costs.seconds), spent, ""),
    ]
    if study.costs.joules is not None:
        found.append((energy(study.costs.joules), "energy", "reported by devices"))
    return found


def _tile(label: str, text: str) -> tuple[str, str, str]:
    """Split an estimate's text, such as `78% [73–82]`, into figure and interval."""
    value, bracket, rest = text.partition(" [")
    return value, label, f"95%: {rest.rstrip(']')}%" if bracket else ""
