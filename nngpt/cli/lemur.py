"""`nngpt lemur`: fetch, import, query and export the LEMUR corpus."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import make_folder, open_store
from nngpt.cli.options import AsJson, MirrorFolder, NetworkFile
from nngpt.cli.output import console, print_result, progress_bar
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError
from nngpt.files import DATABASE

app = typer.Typer(no_args_is_help=True, help="Download, import, query and export the LEMUR corpus.")

_Into = Annotated[
    Path | None,
    Option(
        "--folder",
        help="Folder of the LEMUR mirror; created if missing (default: in the cache).",
    ),
]
_EVERY = 200
_ROWS_IN_TABLE = 20

_Task = Annotated[
    str | None, Option(help="Only trials of this task, for example img-classification.")
]
_Dataset = Annotated[str | None, Option(help="Only trials on this data set, for example cifar-10.")]
_Metric = Annotated[str | None, Option(help="Only trials with this metric, for example acc.")]
_Network = Annotated[str | None, Option(help="Only trials of the network of this name.")]
_Family = Annotated[
    str | None, Option(help="Only trials of this family: a network's name up to its first hyphen.")
]
_Epoch = Annotated[int | None, Option(help="Only trials after this many epochs.", min=0)]
_MinAccuracy = Annotated[
    float | None, Option(help="Only trials with at least this accuracy, 0…1.", min=0, max=1)
]
_Hash = Annotated[
    str | None,
    Option("--hash", help="Only networks with this md5 of the code without white space."),
]
_Best = Annotated[
    bool,
    Option("--best", help="Only the best trial of each task, data set, metric, network and epoch."),
]
_Limit = Annotated[
    int | None, Option(help="Maximum number of trials, 0 for all (default: 20 in a table).", min=0)
]
_Columns = Annotated[
    str | None, Option(help="Columns separated by commas; `prm.lr` is a hyperparameter.")
]
_Code = Annotated[bool, Option("--code", help="Include the source code.")]
_AsCsv = Annotated[bool, Option("--csv", help="Print CSV for scripts.")]


@app.command()
def stats(folder: MirrorFolder = None, as_json: AsJson = False) -> None:
    """Count the imports, networks, families and trials in the LEMUR mirror."""
    from nngpt.reports.tables.lemur import stats_report
    from nngpt.store.lemur.mirror import mirror_folder, open_mirror
    from nngpt.store.lemur.mirror_statistics import read_statistics

    with open_mirror(mirror_folder(folder)) as store, store.database.read() as session:
        found = read_statistics(session)
    print_result(as_json, asdict(found), *stats_report(found, console()))


@app.command()
def query(
    task: _Task = None,
    dataset: _Dataset = None,
    metric: _Metric = None,
    nn: _Network = None,
    family: _Family = None,
    epoch: _Epoch = None,
    min_accuracy: _MinAccuracy = None,
    content_hash: _Hash = None,
    best: _Best = False,
    limit: _Limit = None,
    columns: _Columns = None,
    code: _Code = False,
    as_json: AsJson = False,
    as_csv: _AsCsv = False,
    folder: MirrorFolder = None,
) -> None:
    """List recorded trainings (trials) of LEMUR, highest accuracy first."""
    from nngpt.reports.tables.lemur import print_trials, write_csv, write_json
    from nngpt.store.lemur import mirror
    from nngpt.store.lemur.trial_columns import choose_columns, read_rows

    table = not (as_json or as_csv)
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other", hint="Give one of them")
    names = choose_columns(columns, table, code)
    wanted = mirror.Query(
        task=task,
        dataset=dataset,
        metric=metric,
        nn=nn,
        family=family,
        epoch=epoch,
        min_accuracy=min_accuracy,
        content_hash=content_hash.lower() if content_hash else None,
        best=best,
        by_accuracy=True,
        limit=(_ROWS_IN_TABLE if table and limit is None else limit) or None,
    )
    with (
        mirror.open_mirror(mirror.mirror_folder(folder)) as store,
        store.database.read() as session,
    ):
        mirror.check_names(session, wanted)
        rows = read_rows(session, mirror.trials(session, wanted), names)
        if as_json:
            write_json(rows, sys.stdout)
        elif as_csv:
            write_csv(names, rows, sys.stdout)
        else:
            print_trials(list(rows), mirror.count(session, wanted), console())


@app.command()
def sign(
    fresh: Annotated[
        bool, Option("--fresh", help="Recompute all signatures, not only missing ones.")
    ] = False,
    folder: MirrorFolder = None,
) -> None:
    """Compute missing MinHash signatures of LEMUR's networks, which `lemur similar` needs."""
    from nngpt.config import NoveltyConfig
    from nngpt.novelty import signatures
    from nngpt.reports.text import plural
    from nngpt.store.lemur.mirror import mirror_folder, open_mirror

    recipe = signatures.recipe_of(NoveltyConfig())
    with (
        stoppable(),
        open_mirror(mirror_folder(folder)) as store,
        progress_bar("networks signed") as progress,
    ):
        made = signatures.sign(store.database, recipe, fresh, progress)
    typer.echo(f"{plural(made, 'network')} signed" if made else "every network has a signature")
    typer.echo(str(recipe))


@app.command()
def similar(
    file: NetworkFile,
    top: Annotated[int, Option(help="Number of networks to show.", min=1)] = 10,
    as_json: AsJson = False,
    folder: MirrorFolder = None,
) -> None:
    """List LEMUR's networks most similar to a file, by signatures and exact similarity."""
    from nngpt.config import NoveltyConfig
    from nngpt.novelty.dedup.sources import read_network
    from nngpt.novelty.signatures import nearest_networks, recipe_of
    from nngpt.reports.tables.lemur import neighbours_table
    from nngpt.reports.text import plural
    from nngpt.store.lemur.mirror import mirror_folder, open_mirror

    code = read_network(file).code
    with open_mirror(mirror_folder(folder)) as store:
        found = nearest_networks(store.database, code, recipe_of(NoveltyConfig()), top)
    if found.unsigned:
        missing = plural(found.unsigned, "network")
        typer.echo(f"{missing} without a signature: nngpt lemur sign", err=True)
    compared = f"{found.compared:,} of {plural(found.signed, 'network')} compared exactly"
    print_result(as_json, asdict(found), neighbours_table(found, console()), compared)


@app.command()
def pull(folder: _Into = None, as_json: AsJson = False) -> None:
    """Download the LEMUR corpus (103 MB) and import it, unless it is imported already."""
    from nngpt.store.database import open_database
    from nngpt.store.lemur.importer import PACKAGE, SHA256, download_corpus, finished_import
    from nngpt.store.lemur.mirror import shared_folder

    folder = folder or shared_folder()
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
    path: Annotated[Path, Argument(help="LEMUR package folder, checkout, wheel or ab.nn.db.")],
    folder: _Into = None,
    as_json: AsJson = False,
) -> None:
    """Import LEMUR's networks and statistics; report and skip broken files."""
    from nngpt.store.lemur.mirror import shared_folder

    with stoppable():
        _import(path, folder or shared_folder(), as_json)


@app.command()
def export(
    target: Annotated[Path, Argument(help="New or empty folder to write to.", metavar="DIR")],
    folder: Annotated[
        Path | None,
        Option(
            help="Folder of the database to export (default: with --ours runs, else the mirror's)."
        ),
    ] = None,
    networks: Annotated[
        list[str] | None, Option("--nn", help="Export only this network; repeatable.")
    ] = None,
    dataset: Annotated[str | None, Option(help="Export only results on this data set.")] = None,
    ours: Annotated[
        bool, Option("--ours", help="Export only results of nngpt's own runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write LEMUR's and own networks and statistics in the layout of a LEMUR package."""
    from nngpt.reports.tables.lemur import export_lines
    from nngpt.store.lemur.export_selection import Selection
    from nngpt.store.lemur.exporter import export_corpus
    from nngpt.store.lemur.mirror import RUNS, mirror_folder

    selection = Selection(tuple(networks or ()), dataset, ours)
    source = folder or RUNS if ours else mirror_folder(folder)
    with stoppable(), open_store(source) as store, progress_bar("exporting", _EVERY) as progress:
        report = export_corpus(store.database, target, selection, progress)
    print_result(as_json, asdict(report), *export_lines(report, target))


def _import(path: Path, folder: Path, as_json: bool) -> None:
    from nngpt.reports.tables.lemur import import_lines
    from nngpt.store.database import open_database
    from nngpt.store.lemur.importer import import_source, open_source

    source = open_source(path)
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    with progress_bar("importing", _EVERY) as progress:
        report = import_source(database, source, progress)
    source.close()
    print_result(as_json, asdict(report), *import_lines(report))
