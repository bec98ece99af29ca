"""`nngpt lemur`: the community's corpus of networks and results, in our database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli import lemur_query
from nngpt.cli.options import AsJson, Folder, console, make_folder, open_store, print_json
from nngpt.cli.stopping import stoppable
from nngpt.config import DATABASE

if TYPE_CHECKING:
    from nngpt.store.lemur.records import Progress

app = typer.Typer(no_args_is_help=True, help="The LEMUR corpus: fetch, import, query, export.")

for _command in (lemur_query.stats, lemur_query.query, lemur_query.sign, lemur_query.similar):
    app.command()(_command)

_Into = Annotated[Path, typer.Option("--folder", help="Where the database lies, or shall lie.")]
_EVERY = 200


@app.command()
def pull(folder: _Into = Path("runs"), as_json: AsJson = False) -> None:
    """Fetch the LEMUR corpus (103 MB) and import it; nothing happens if it is there."""
    from nngpt.store.database import open_database
    from nngpt.store.lemur import download
    from nngpt.store.lemur.importer import finished_import

    make_folder(folder, "--folder")
    with stoppable():
        database = open_database(folder / DATABASE, create=True)
        since = finished_import(database, download.SHA256)
        if since is None:
            _import(download.download_corpus(lambda line: typer.echo(line, err=True)), folder, as_json)
        elif as_json:
            print_json({"source": str(download.PACKAGE), "finished": since})
        else:
            where = f"in {folder / DATABASE} since {since}"
            typer.echo(f"LEMUR ({download.PACKAGE}) is {where}. Nothing to do.")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A package folder, checkout, wheel or ab.nn.db.")],
    folder: _Into = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Import networks and statistics; what is broken is refused with a reason, the rest kept."""
    with stoppable():
        _import(path, folder, as_json)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    folder: Folder = Path("runs"),
    networks: Annotated[
        list[str] | None, typer.Option("--nn", help="Only this network; may be repeated.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only results on this data set.")] = None,
    ours: Annotated[bool, typer.Option("--ours", help="Only results of our own runs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write networks and statistics as a LEMUR package has them."""
    from nngpt.reports.lemur.transfer_report import export_lines
    from nngpt.store.lemur.export_selection import Selection
    from nngpt.store.lemur.exporter import export_corpus

    selection = Selection(tuple(networks or ()), dataset, ours)
    with stoppable(), open_store(folder) as store, _bar("exporting") as progress:
        report = export_corpus(store.database, target, selection, progress)
    if as_json:
        print_json(asdict(report))
    else:
        console().print(*export_lines(report, target), sep="\n", soft_wrap=True, markup=False)


def _import(path: Path, folder: Path, as_json: bool) -> None:
    from nngpt.reports.lemur.transfer_report import import_lines
    from nngpt.store.database import open_database
    from nngpt.store.lemur.importer import import_source
    from nngpt.store.lemur.source import open_source

    source = open_source(path)
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    with _bar("importing") as progress:
        report = import_source(database, source, progress)
    source.close()
    if as_json:
        print_json(asdict(report))
    else:
        console().print(*import_lines(report), sep="\n", soft_wrap=True, markup=False)


@contextmanager
def _bar(what: str) -> Iterator[Progress]:
    """A bar of files on standard error, if somebody looks at it."""
    from rich.progress import Progress as Bars

    out = console(stderr=True)
    with Bars(console=out, disable=not out.is_terminal, transient=True) as bars:
        bar = bars.add_task(what, total=None)

        def progress(done: int, total: int) -> None:
            if done % _EVERY == 0 or done == total:
                bars.update(bar, completed=done, total=total)

        yield progress
