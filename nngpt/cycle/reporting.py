"""Write the report of a run, and give it to the trackers that show the run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nngpt.cycle.tracking import add_artefact
from nngpt.protocols import Log
from nngpt.reports.analysis.study import read_setting, read_study
from nngpt.reports.run.page import PAGE, Report, report
from nngpt.store import RunRecord, Store


@dataclass(frozen=True)
class WrittenReport:
    """A run's report and its files; `page` is one of them."""

    report: Report
    page: Path
    files: tuple[Path, ...]


def report_folder(folder: Path, run: RunRecord) -> Path:
    """Return where the report of a run is written by default, given the folder of the runs."""
    plain_name = re.sub(r"[^\w.-]+", "-", run.name).strip(".-") or "run"
    return folder / "reports" / f"{plain_name}-{run.id}"


def write_report(
    store: Store, run: RunRecord, folder: Path, out: Path, log: Log, best: int = 6
) -> WrittenReport:
    """Write a run's report to the folder `out`.

    Args:
        folder: folder of the runs, as the page shows it.
        best: number of networks in the gallery.

    Raises: UserError if a file cannot be written.
    """
    command = f"nngpt cycle report {run.id} --folder {folder}"
    found = report(read_study(store, run, read_setting(run)), best, command)
    written = found.write(out)
    add_artefact(folder, run, "report", out, log)
    return WrittenReport(found, out / PAGE, tuple(written))
