"""`nngpt experiment`: run arms × seeds and compare the arms."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import check_folder
from nngpt.cli.options import AsJson, BudgetMinutes, Overrides, grid_names
from nngpt.cli.output import logger, print_result
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError
from nngpt.files import write_file

if TYPE_CHECKING:
    from nngpt.cycle.experiment import Cell, Grid

app = typer.Typer(
    no_args_is_help=True, help="Run several settings with several seeds, and compare them."
)
GridName = Annotated[
    str,
    Argument(
        help="YAML file of arms and seeds, or name of a shipped one.",
        metavar="GRID",
        autocompletion=grid_names,
    ),
]
Out = Annotated[Path | None, Option(help="Markdown file for the tables.")]
Figure = Annotated[Path | None, Option(help="Image file for a chart by cycle: .png, .pdf or .svg.")]


@app.command()
def run(
    grid: GridName,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    budget_minutes: BudgetMinutes = None,
    out: Out = None,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Run every arm (a group of settings) with every seed, or resume; then compare the arms."""
    from nngpt.cycle.experiment import run_all
    from nngpt.cycle.meter import TimeLimit

    _check_files(out, figure)
    loaded, cells = _load(grid, overrides)
    log = logger(highlight=False)
    with stoppable():
        if not run_all(loaded, cells, TimeLimit.of_minutes(budget_minutes), log):
            log("The time limit is reached; the same command resumes. Results so far:")
        _compare(cells, (out, figure), as_json, f"nngpt experiment run {grid}")


@app.command()
def compare(
    grid: GridName,
    overrides: Overrides = [],  # noqa: B006
    out: Out = None,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Compare the arms of an experiment by the results so far; run nothing."""
    _, cells = _load(grid, overrides)
    _compare(cells, (out, figure), as_json, f"nngpt experiment run {grid}")


def _load(grid: str, overrides: list[str]) -> tuple[Grid, list[Cell]]:
    from nngpt.cycle.experiment import cells, load_grid

    loaded, _ = load_grid(grid)
    return loaded, cells(loaded, tuple(overrides))


def _check_files(out: Path | None, figure: Path | None) -> None:
    """Check, before anything runs, that the files can be written. Raises: UserError."""
    for path, option in ((out, "--out"), (figure, "--figure")):
        if path is not None:
            check_folder(path.parent, option)
            if path.is_dir():
                raise UserError("is a folder", where=str(path), hint=f"Give {option} a file")
    if figure is not None and figure.suffix not in (".png", ".pdf", ".svg"):
        raise UserError("is no .png, .pdf or .svg file", where=str(figure), hint="See --figure")


def _compare(
    cells: list[Cell], files: tuple[Path | None, Path | None], as_json: bool, start: str
) -> None:
    """Print the comparison of the runs that have begun, and write it to the wanted files."""
    from nngpt.cycle.experiment import started_runs
    from nngpt.reports.experiment.figures import differences, figures
    from nngpt.reports.experiment.sheets import sheets
    from nngpt.reports.sheets import markdown_table, rich_table

    found = figures(started_runs(cells), [cell.arm for cell in cells])
    if not found:
        where = str(cells[0].settings.folder)
        raise UserError("none of its runs has begun", where=where, hint=f"Start them: {start}")
    compared = differences(found)
    tables = sheets(found, compared)
    out, picture = files
    if out is not None:
        text = "\n".join(map(markdown_table, tables))
        write_file(out, [text.encode()], hint="Choose another file")
    if picture is not None:
        from nngpt.reports.experiment import plots

        plots.save(found, picture)
    runs = [
        {**asdict(r), "written": r.written, "valid": len(r.accuracies), "above": r.above}
        for r in found
    ]
    facts = {"runs": runs, "differences": [difference.as_json() for difference in compared]}
    print_result(as_json, facts, *map(rich_table, tables))
