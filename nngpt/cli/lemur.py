"""`nngpt lemur`: fetch, import, query and export the LEMUR corpus."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli import lemur_query
from nngpt.cli.inputs import make_folder, open_store
from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import print_result, progress_bar
from nngpt.cli.stopping import stoppable
from nngpt.files import DATABASE

app = typer.Typer(no_args_is_help=True, help="Download, import, query and export the LEMUR corpus.")

for _command in (lemur_query.stats, lemur_query.query, lemur_query.sign, lemur_query.similar):
    app.command()(_command)

_Into = Annotated[
    Path, typer.Option("--folder", help="Folder of the database, which is created if missing.")
]
_EVERY = 200


@app.command()
def pull(folder: _Into = Path("runs"), as_json: AsJson = False) -> None:
    """Download the LEMUR corpus (103 MB) and import it, unless it is imported already."""
    from nngpt.store.database import open_database
    from nngpt.store.lemur.download import PACKAGE, SHA256, download_corpus
    from nngpt.store.lemur.importer import finished_import

    make_folder(folder, "--folder")
    with stoppable():
        database = open_database(folder / DATABASE, create=True)
        since = finished_import(database, SHA256)
        if since is None:
            _import(download_corpus(lambda line: typer.echo(line, err=True)), folder, as_json)
        else:
            text = f"LEMUR ({PACKAGE}) is in {folder / DATABASE} since {since}. Nothing to do."
            print_result(as_json, {"source": str(PACKAGE), "finished": since}, text)


@app.command("import")
def import_(
    path: Annotated[
        Path, typer.Argument(help="LEMUR package folder, checkout, wheel or ab.nn.db.")
    ],
    folder: _Into = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Import networks and statistics; broken files are reported and skipped."""
    with stoppable():
        _import(path, folder, as_json)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="New or empty folder to write to.", metavar="DIR")],
    folder: Folder = Path("runs"),
    networks: Annotated[
        list[str] | None, typer.Option("--nn", help="Export only this network; may be repeated.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Export only results on this data set.")
    ] = None,
    ours: Annotated[
        bool, typer.Option("--ours", help="Export only results of nngpt's own runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write networks and statistics in the layout of a LEMUR package."""
    from nngpt.reports.lemur.transfer_report import export_lines
    from nngpt.store.lemur.export_selection import Selection
    from nngpt.store.lemur.exporter import export_corpus

    selection = Selection(tuple(networks or ()), dataset, ours)
    with stoppable(), open_store(folder) as store, progress_bar("exporting", _EVERY) as progress:
        report = export_corpus(store.database, target, selection, progress)
    print_result(as_json, asdict(report), *export_lines(report, target))


def _import(path: Path, folder: Path, as_json: bool) -> None:
    from nngpt.reports.lemur.transfer_report import import_lines
    from nngpt.store.database import open_database
    from nngpt.store.lemur.importer import import_source, open_source

    source = open_source(path)
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    with progress_bar("importing", _EVERY) as progress:
        report = import_source(database, source, progress)
    source.close()
    print_result(as_json, asdict(report), *import_lines(report))
