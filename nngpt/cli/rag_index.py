"""`nngpt rag index`, `list` and `remove`: which libraries blocks come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson, Folder, console, make_folder, print_json
from nngpt.cli.stopping import stoppable
from nngpt.config import DATABASE
from nngpt.errors import UserError, nearest

if TYPE_CHECKING:
    from nngpt.store.database import Database

_SOME = 5


def index(
    places: Annotated[
        list[str],
        typer.Argument(help="Installed packages, wheels, sdists, folders.", metavar="PLACE..."),
    ],
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Index every class of libraries, or bring the index up to date; imports none of them."""
    from nngpt.retrieval import index as indexing
    from nngpt.retrieval.sources import open_source
    from nngpt.store.database import open_database

    opened = [(place, open_source(place)) for place in places]
    make_folder(folder, "--folder")
    database = open_database(folder / DATABASE, create=True)
    told = []
    with stoppable("Stopped. What was finished is in the index."):
        for place, source in opened:
            done = indexing.add(
                database, source, str(Path(place).resolve()) if "/" in place else place
            )
            told.append(
                {
                    "source": source.name,
                    "version": source.version,
                    "licence": source.licence,
                    "files": done.files,
                    "new": done.new,
                    "changed": done.changed,
                    "removed": done.removed,
                    "classes": done.classes,
                    "broken": done.broken,
                }
            )
            if not as_json:
                _tell(told[-1])
    if as_json:
        print_json(told)


def _tell(done: dict[str, object]) -> None:
    typer.echo(
        f"{done['source']} {done['version']}".rstrip()
        + " ({licence}): {files:,} files, {new:,} new, {changed:,} changed, "
        "{removed:,} removed; {classes:,} classes".format(**done)
    )
    broken = done["broken"]
    assert isinstance(broken, dict)
    for path, reason in list(broken.items())[:_SOME]:
        typer.echo(f"left out: {path} {reason}", err=True)
    if len(broken) > _SOME:
        typer.echo(f"and {len(broken) - _SOME:,} more", err=True)


def list_(
    source: Annotated[str | None, typer.Option(help="List the blocks of this one.")] = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List the indexed libraries, or the blocks of one."""
    from rich.table import Table

    from nngpt.retrieval import catalogue

    database = open_index(folder)
    found = catalogue.blocks(database)
    sources = catalogue.sources(database)
    if source is not None:
        if source not in {one.name for one in sources}:
            raise UserError(
                "is not indexed", where=source, hint=nearest(source, [s.name for s in sources])
            )
        own = [block.target for block in found if block.source == source]
        print_json(own) if as_json else typer.echo("\n".join(own))
        return
    rows = [
        {
            "source": one.name,
            "version": one.version,
            "licence": one.licence,
            "copyleft": catalogue.is_copyleft(one.licence),
            "kind": one.kind,
            "files": len(one.files),
            "blocks": sum(block.source == one.name for block in found),
        }
        for one in sources
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("source", "version", "licence", "kind", "files", "blocks", box=None)
    for row in rows:
        licence = f"{row['licence']}{' (copyleft)' if row['copyleft'] else ''}"
        table.add_row(
            str(row["source"]),
            str(row["version"]),
            licence,
            str(row["kind"]),
            f"{row['files']:,}",
            f"{row['blocks']:,}",
        )
    console().print(table)


def remove(
    source: Annotated[str, typer.Argument(help="Its name.", metavar="SOURCE")],
    folder: Folder = Path("runs"),
) -> None:
    """Take a library out of the index."""
    from nngpt.retrieval import index as indexing

    indexing.remove(open_index(folder), source)
    typer.echo(f"{source} is no longer indexed.")


def open_index(folder: Path) -> Database:
    """The database of a folder. Raises: UserError if there is none."""
    from nngpt.store.database import open_database

    path = folder / DATABASE
    if not path.exists():
        raise UserError(
            "no block is indexed", where=str(path), hint="Index some: nngpt rag index torchvision"
        )
    return open_database(path, create=False)
