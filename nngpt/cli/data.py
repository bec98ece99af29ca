"""`nngpt data`: which data sets there are, and bringing them onto this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Data sets: list them, fetch them.")


@dataclass(frozen=True)
class _Row:
    """A line of the list; shape is (c, h, w); None where the user's folder decides."""

    name: str
    shape: tuple[int, int, int] | None
    classes: int | None
    images: int | None
    cached: bool


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the data sets, and which of them are on this machine."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from nngpt import plugins

    rows = [_row(name) for name in plugins.names("data set")]
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows]))
        return
    console = Console()
    name = Column("data set", no_wrap=True)
    box = SIMPLE if console.is_terminal else None
    table = Table(name, "shape", "classes", "images", "cached", box=box)
    for row in rows:
        shape = "×".join(map(str, row.shape)) if row.shape else "your pictures'"
        where = "yes" if row.cached else "no" if row.shape else "needs --root"
        table.add_row(row.name, shape, _number(row.classes), _number(row.images), where)
    console.print(table)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="A name from `nngpt data list`, or a dotted path.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder with your own official files, or pictures.")
    ] = None,
) -> None:
    """Bring a data set onto this machine and verify it."""
    from nngpt import plugins

    source = plugins.create("data set", name, root)
    if hasattr(source, "progress"):
        source.progress = lambda line: typer.echo(line, err=True)
    source.prepare()
    shape = "×".join(map(str, source.shape))
    typer.echo(f"{source.name}: ready, {shape}, {source.classes} classes")


def _row(name: str) -> _Row:
    from nngpt import plugins
    from nngpt.errors import DataError

    try:
        source = plugins.create("data set", name, None)
    except DataError:
        return _Row(name, None, None, None, False)
    images = getattr(source, "images", None)
    return _Row(name, source.shape, source.classes, images, source.available())


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
