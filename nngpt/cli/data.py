"""`nngpt data`: list data sets, download and verify them, check folders of images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Overrides
from nngpt.cli.output import console, print_result

_SHOWN = 10

app = typer.Typer(no_args_is_help=True, help="List, check and download data sets.")


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
    name: Annotated[
        str,
        Argument(help="Name from `nngpt data list`, folder of images, or dotted path of a module."),
    ],
    root: Annotated[
        Path | None,
        Option(help="Folder with official files or your own images, instead of a download."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Download and verify a data set, or read a folder of images into the cache."""
    from nngpt.data.loading import class_names, data_source, prepare
    from nngpt.errors import readable

    config = load_config(None, overrides, **{"task.dataset": name, "task.root": root})
    source = data_source(config)
    prepare(source, lambda line: typer.echo(line, err=True))
    shape = "×".join(map(str, source.shape))
    names = class_names(source)
    shown = f"{', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"
    typer.echo(readable(f"{source.name}: ready, {shape}, {source.classes} classes: {shown}"))


@app.command()
def check(
    folder: Annotated[Path, Argument(help="Folder with a folder of images for each class.")],
    overrides: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Show how a folder of images would be read; change nothing.

    Reads every file. Exits with 2 if the folder cannot be used.
    """
    from nngpt.data.loading import data_source
    from nngpt.data.sources.image_folder import ImageFolder
    from nngpt.plugins import IMAGE_FOLDER
    from nngpt.reports.tables.data import folder_json, folder_parts

    config = load_config(None, overrides, **{"task.dataset": IMAGE_FOLDER, "task.root": folder})
    source = data_source(config)
    assert isinstance(source, ImageFolder)
    source.progress = lambda line: typer.echo(line, err=True)
    report = source.inspect()
    print_result(as_json, folder_json(report), *folder_parts(report, console().is_terminal))
    if report.refusal is not None:
        raise report.refusal
