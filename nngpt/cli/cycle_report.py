"""`nngpt cycle report`: report what a run did and cost, as a page, figures and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.inputs import check_folder, find_run, make_folder, open_store
from nngpt.cli.options import AsJson, Folder, RunName
from nngpt.cli.output import print_result
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.reports.run.page import Report

_PAGE = "report.html"


def report(
    run: RunName = None,
    folder: Folder = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report (default: reports/ in the runs' folder)."),
    ] = None,
    best: Annotated[
        int, typer.Option(help="Number of networks in the gallery.", min=0, max=100)
    ] = 6,
    as_json: AsJson = False,
) -> None:
    """Write a page with figures and tables about a run."""
    from rich.text import Text

    from nngpt.reports.analysis.study import read_setting, read_study
    from nngpt.reports.run.page import report as make_report

    with open_store(folder) as store:
        record = find_run(store, run)
        plain_name = re.sub(r"[^\w.-]+", "-", record.name).strip(".-") or "run"
        target = out or folder / "reports" / f"{plain_name}-{record.id}"
        check_folder(target, "--out")
        command = f"nngpt cycle report {record.id} --folder {folder}"
        found = make_report(read_study(store, record, read_setting(record)), best, command)
    written = _write(found, target)
    facts = {"verdict": found.verdict, "warnings": found.warnings}
    figures = f"{len(found.figures) // 2} figures as PNG and PDF"
    files = f"Report: {target / _PAGE} ({figures}, {len(found.tables)} tables as CSV)"
    print_result(
        as_json,
        {"run": record.id, "files": [str(path) for path in written], **facts},
        *(Text(line) for line in (*found.warnings, *found.verdict)),
        files,
    )


def _write(found: Report, target: Path) -> list[Path]:
    """Write all files of a report, and return their paths. Raises: UserError."""
    files: dict[str, bytes] = {
        _PAGE: found.page.encode(),
        "config.yaml": found.config.encode(),
        **{f"figures/{name}": data for name, data in found.figures.items()},
        **{f"tables/{name}": text.encode() for name, text in found.tables.items()},
    }
    for sub in ("figures", "tables"):
        make_folder(target / sub, "--out")
    try:
        for name, data in files.items():
            (target / name).write_bytes(data)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise UserError(why, where=str(target / name), hint="Choose another with --out") from None
    return [target / name for name in files]
