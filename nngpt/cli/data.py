"""`nngpt data`: list data sets, download and verify them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from nngpt.cli.options import AsJson
from nngpt.cli.output import console, print_result

app = typer.Typer(no_args_is_help=True, help="List and download data sets.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the data sets, and whether they are in the cache."""
    from nngpt.data.loading import list_data_sets
    from nngpt.reports.tables.data import data_sets_table

    rows = list_data_sets()
    table = data_sets_table(rows, console().is_terminal)
    print_result(as_json, [asdict(row) for row in rows], table)


@app.command()
def pull(
    name: Annotated[str, Argument(help="Name from `nngpt data list`, or dotted path of a module.")],
    root: Annotated[
        Path | None,
        Option(help="Folder with official files or your own images, instead of a download."),
    ] = None,
) -> None:
    """Download and verify a data set."""
    from nngpt import plugins

    source = plugins.create("data set", name, root)
    if hasattr(source, "progress"):
        source.progress = lambda line: typer.echo(line, err=True)
    source.prepare()
    shape = "×".join(map(str, source.shape))
    typer.echo(f"{source.name}: ready, {shape}, {source.classes} classes")
