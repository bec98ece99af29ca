"""`nngpt experiment`: arms × seeds, run and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import AsJson, Overrides, console, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.cycle.grid import Cell
    from nngpt.reports.experiment.comparison import RunFigures

app = typer.Typer(no_args_is_help=True, help="Arms × seeds: what is a part of the loop worth?")
GridName = Annotated[
    str,
    typer.Argument(help="A YAML file of arms, or the name of one nngpt brings.", metavar="GRID"),
]
Out = Annotated[Path | None, typer.Option(help="Also write the tables as Markdown here.")]
Picture = Annotated[Path | None, typer.Option(help="Also draw the cycles: .png, .pdf or .svg.")]


@app.command()
def run(
    grid: GridName,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    budget_minutes: Annotated[
        float | None, typer.Option(help="End after so many minutes, wherever it is.", min=0.1)
    ] = None,
    out: Out = None,
    figure: Picture = None,
    as_json: AsJson = False,
) -> None:
    """Run every arm with every seed, or carry on where it was; then compare."""
    from nngpt.cycle import grid as grids
    from nngpt.cycle.experiment import run_all
    from nngpt.cycle.time_limit import Budget

    loaded, _ = grids.load(grid)
    cells = grids.cells(loaded, tuple(overrides))
    log = partial(console(stderr=True).print, markup=False, highlight=False)
    budget = Budget(None if budget_minutes is None else 60 * budget_minutes)
    with stoppable():
        if not run_all(loaded, cells, budget, log):
            log("The budget is spent; the same command carries on. So far:")
        _tell(cells, (out, figure), as_json, f"nngpt experiment run {grid}")


@app.command()
def compare(
    grid: GridName,
    overrides: Overrides = [],  # noqa: B006
    out: Out = None,
    figure: Picture = None,
    as_json: AsJson = False,
) -> None:
    """What an experiment has found so far; nothing is run."""
    from nngpt.cycle import grid as grids

    loaded, _ = grids.load(grid)
    start = f"nngpt experiment run {grid}"
    _tell(grids.cells(loaded, tuple(overrides)), (out, figure), as_json, start)


def _tell(
    cells: list[Cell], files: tuple[Path | None, Path | None], as_json: bool, start: str
) -> None:
    from nngpt.reports.experiment.comparison import differences, figures
    from nngpt.reports.experiment.sheets import sheets
    from nngpt.reports.sheets import markdown_table, rich_table

    found = figures(cells)
    if not found:
        where = str(cells[0].settings.folder)
        raise UserError("none of its runs has begun", where=where, hint=f"Start them: {start}")
    compared = differences(found)
    tables = sheets(found, compared)
    out, picture = files
    if out is not None:
        _written(out, lambda: out.write_text("\n".join(map(markdown_table, tables)), "utf-8"))
    if picture is not None:
        from nngpt.reports.experiment import plots as experiment_plots

        _written(picture, lambda: experiment_plots.save(found, str(picture)))
    if as_json:
        print_json({"runs": list(map(_plain, found)), "differences": list(map(asdict, compared))})
        return
    for table in tables:
        console().print(rich_table(table))


def _plain(run: RunFigures) -> dict[str, Any]:
    whole = {"written": run.written, "valid": len(run.accuracies), "above": run.above}
    return {**asdict(run), **whole}


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except (OSError, ValueError) as error:  # matplotlib's for an ending that it does not know
        why = f"cannot be written ({error})"
        raise UserError(why, where=str(path), hint="Choose another file") from None
