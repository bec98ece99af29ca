"""`nngpt lemur stats`, `query`, `sign` and `similar`: asking the mirror."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import AsJson, Folder, console, print_json
from nngpt.cli.stopping import stoppable
from nngpt.config import DATABASE
from nngpt.errors import StoreError, UserError, nearest

if TYPE_CHECKING:
    from nngpt.novelty.signatures import Progress, Recipe
    from nngpt.store import Store
    from nngpt.store.lemur.queries import Query

_IN_TABLE = ("dataset", "metric", "nn", "epoch", "accuracy", "duration", "transform", "prm")
_ROWS_IN_TABLE = 20
_FILL = "Fill it: nngpt lemur pull"
_PARAMETER = "prm."


def stats(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """What is in the mirror: imports, networks, families, trials."""
    from nngpt.store.lemur.mirror_statistics import statistics_of

    with _mirror(folder) as store, store.database.read() as session:
        found = statistics_of(session)
    if as_json:
        return print_json(asdict(found))
    from nngpt.reports.lemur.mirror_tables import stats_report

    out = console()
    for piece in stats_report(found, out):
        out.print(piece, markup=False, highlight=False, soft_wrap=isinstance(piece, str))
    return None


def query(
    task: Annotated[str | None, typer.Option(help="For example img-classification.")] = None,
    dataset: Annotated[str | None, typer.Option(help="For example cifar-10.")] = None,
    metric: Annotated[str | None, typer.Option(help="For example acc.")] = None,
    nn: Annotated[str | None, typer.Option(help="A network's name.")] = None,
    family: Annotated[str | None, typer.Option(help="A name up to its first hyphen.")] = None,
    epoch: Annotated[int | None, typer.Option(help="Epochs trained.", min=0)] = None,
    min_accuracy: Annotated[float | None, typer.Option(help="0…1.", min=0, max=1)] = None,
    content_hash: Annotated[
        str | None, typer.Option("--hash", help="md5 of the code without white space.")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="One per task, data set, metric, network and epoch.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(help="At most so many, 0 for all (default: 20 in a table).", min=0),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Which, with commas; `prm.lr` is a hyperparameter.")
    ] = None,
    code: Annotated[bool, typer.Option("--code", help="With the source texts.")] = False,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a script.")] = False,
    folder: Folder = Path("runs"),
) -> None:
    """The trials asked for, the highest accuracy first. Code is read only with --code."""
    from nngpt.reports.lemur.mirror_tables import write_csv, write_json
    from nngpt.store.lemur.queries import Query

    table = _is_table(as_json, as_csv, code)
    names = _columns(columns, table, code)
    most = _ROWS_IN_TABLE if table and limit is None else limit
    wanted = Query(
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
        limit=most or None,
    )
    rows, total = _answer(folder, wanted, names, count=table)
    if as_json:
        write_json(rows, sys.stdout)
    elif as_csv:
        write_csv(names, rows, sys.stdout)
    else:
        _print_table(list(rows), total)


def sign(
    fresh: Annotated[bool, typer.Option("--fresh", help="Make all anew.")] = False,
    folder: Folder = Path("runs"),
) -> None:
    """Compute the MinHash signatures of the networks that have none."""
    from nngpt.novelty import signatures

    recipe = _recipe()
    with stoppable(), _mirror(folder) as store, _bar("networks signed") as progress:
        made = signatures.sign(store.database, recipe, fresh, progress)
    typer.echo(f"{made:,} networks signed" if made else "every network has a signature")
    typer.echo(str(recipe))


def similar(
    file: Annotated[Path, typer.Argument(help="A Python file with a network.", metavar="FILE")],
    top: Annotated[int, typer.Option(help="How many.", min=1)] = 10,
    as_json: AsJson = False,
    folder: Folder = Path("runs"),
) -> None:
    """The mirror's networks most like a file: signatures propose, exact Jaccard decides."""
    from nngpt.novelty.dedup.source_files import read_network
    from nngpt.novelty.signatures import nearest_networks
    from nngpt.reports.lemur.mirror_tables import neighbours_table
    from nngpt.store.lemur.family import family

    code = read_network(file, lambda name: family(name)).code
    with _mirror(folder) as store:
        found = nearest_networks(store.database, code, _recipe(), top)
    if found.unsigned:
        typer.echo(f"{found.unsigned:,} networks have no signature: nngpt lemur sign", err=True)
    if as_json:
        return print_json(asdict(found))
    out = console()
    out.print(neighbours_table(found, out))
    typer.echo(f"{found.compared:,} of {found.signed:,} networks compared exactly")
    return None


@contextmanager
def _mirror(folder: Path) -> Iterator[Store]:
    """The folder's database, with at least one network in it. Raises: StoreError."""
    from sqlalchemy import exists, select

    from nngpt.store import Store
    from nngpt.store.lemur_tables import nn

    path = folder / DATABASE
    if not os.access(path, os.F_OK):
        raise StoreError("no LEMUR mirror here", where=str(path), hint="Make it: nngpt lemur pull")
    with Store.open(path, create=False) as store:
        with store.database.read() as session:
            if not session.scalar(select(exists().select_from(nn))):
                raise StoreError("no network in the mirror", where=str(path), hint=_FILL)
        yield store


def _is_table(as_json: bool, as_csv: bool, code: bool) -> bool:
    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other", hint="Give one of them")
    if code and not (as_json or as_csv):
        raise UserError("a table has no room for code", where="--code", hint="Add --json or --csv")
    return not (as_json or as_csv)


def _columns(given: str | None, table: bool, code: bool) -> list[str]:
    """The columns to show. Raises: UserError for one that is not there."""
    from nngpt.store.lemur.trial_columns import CODE, COLUMNS

    known = [name for name in COLUMNS if name not in CODE]
    known.insert(known.index("prm"), "transform")
    if given is None:
        names = list(_IN_TABLE) if table else known
    else:
        names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in (*known, *CODE) and not name.startswith(_PARAMETER):
            hint = nearest(name, [*known, *CODE, f"{_PARAMETER}lr"])
            raise UserError(f"no column {name!r}", where="--columns", hint=hint)
    if not names:
        raise UserError("names no column", where="--columns", hint=f"Known: {', '.join(known)}")
    return list(dict.fromkeys([*names, *(CODE if code else ())]))


def _answer(
    folder: Path, wanted: Query, names: Sequence[str], count: bool
) -> tuple[Iterator[dict[str, Any]], int]:
    """The rows, and how many there are without the limit (0 if not counted)."""
    from nngpt.store.lemur import queries
    from nngpt.store.lemur.query_check import check_names
    from nngpt.store.lemur.trial_columns import CODE, columns_of

    with _mirror(folder) as store, store.database.read() as session:
        check_names(session, wanted)
        rows = queries.trials(session, wanted)
        columns = columns_of(session, rows, code=any(name in CODE for name in names))
        total = queries.count(session, wanted) if count else 0
    values = [_column(columns, name) for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)), total


def _column(columns: Mapping[str, list[Any]], name: str) -> list[Any]:
    if not name.startswith(_PARAMETER):
        return columns[name]
    return [prm.get(name.removeprefix(_PARAMETER)) for prm in columns["prm"]]


def _print_table(rows: Sequence[Mapping[str, Any]], total: int) -> None:
    from nngpt.reports.lemur.mirror_tables import trials_table

    out = console()
    if rows:
        out.print(trials_table(rows, out), markup=False)
    shown = "" if len(rows) == total else f"; {len(rows):,} shown, all with --limit 0"
    typer.echo(f"{total:,} trials{shown}")


def _recipe() -> Recipe:
    from nngpt.config import NoveltyConfig
    from nngpt.novelty.signatures import recipe_of

    return recipe_of(NoveltyConfig())


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    """A bar on standard error while it works, if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns: tuple[Any, ...] = (TextColumn(title), BarColumn(), MofNCompleteColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        bar = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
