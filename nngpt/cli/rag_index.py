"""`nngpt rag index`, `list` and `remove`: manage the indexed libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nngpt.cli.inputs import make_folder
from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import console, print_json
from nngpt.cli.stopping import stoppable
from nngpt.files import DATABASE

_SOME = 5


def index(
    places: Annotated[
        list[str],
        typer.Argument(help="Installed packages, wheels, sdists or folders.", metavar="PLACE..."),
    ],
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Index the classes of libraries, or update their index, without importing them."""
    from nngpt.retrieval.index import add_source
    from nngpt.retrieval.sources import open_source
    from nngpt.store.database import open_database

    opened = [(place, open_source(place)) for place in places]
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    reports = []
    with stoppable("Stopped. Finished libraries are in the index."):
        for place, source in opened:
            path = str(Path(place).resolve()) if "/" in place else place
            reports.append(add_source(database, source, path).facts())
            if not as_json:
                _print_report(reports[-1])
    if as_json:
        print_json(reports)


def _print_report(report: dict[str, Any]) -> None:
    typer.echo(
        f"{report['source']} {report['version']}".rstrip()
        + " ({licence}): {files:,} files, {new:,} new, {changed:,} changed, "
        "{removed:,} removed; {classes:,} classes".format(**report)
    )
    broken = report["broken"]
    for path, reason in list(broken.items())[:_SOME]:
        typer.echo(f"skipped: {path} {reason}", err=True)
    if len(broken) > _SOME:
        typer.echo(f"and {len(broken) - _SOME:,} more", err=True)


def list_(
    source: Annotated[
        str | None, typer.Option(help="List the blocks of this library instead.")
    ] = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the indexed libraries, or the blocks of one."""
    from nngpt.reports.tables.retrieval import sources_table
    from nngpt.retrieval import catalogue

    database = catalogue.open_index(folder)
    if source is not None:
        names = catalogue.block_names(database, source)
        print_json(names) if as_json else typer.echo("\n".join(names))
        return
    rows = catalogue.source_facts(database)
    print_json(rows) if as_json else console().print(sources_table(rows))


def remove(
    source: Annotated[str, typer.Argument(help="Name of the library.", metavar="SOURCE")],
    folder: Folder = Path("runs"),
) -> None:
    """Remove a library from the index."""
    from nngpt.retrieval import catalogue
    from nngpt.retrieval import index as block_index

    block_index.remove_source(catalogue.open_index(folder), source)
    typer.echo(f"{source} is no longer indexed.")
