"""`nngpt rag extract`: write one block as a self-contained file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import print_json
from nngpt.cli.rag_search import Target
from nngpt.errors import UserError


def extract(
    target: Target,
    out: Annotated[
        Path | None, typer.Option(help="File to write (default: standard output).")
    ] = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Extract a block with all it needs, importing only torch and the standard library."""
    from nngpt.retrieval import catalogue
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = catalogue.open_index(folder)
    found = Extractor(Library(catalogue.sources(database))).extract(target)
    if out is not None:
        _write(out, found.code)
    if as_json:
        print_json({**found.facts(), **({"file": str(out)} if out else {"code": found.code})})
    elif out is None:
        typer.echo(found.code, nl=False)
    else:
        helpers = len(found.inlined) - 1
        typer.echo(f"{out}: {found.target} with {helpers} helper{'' if helpers == 1 else 's'}")
    for name in found.lazily:
        typer.echo(f"note: {name} is imported only when a function needs it", err=True)


def _write(path: Path, code: str) -> None:
    from nngpt.files import publish, scratch

    try:
        with scratch(path) as folder:
            draft = folder / path.name
            draft.write_text(code, encoding="utf-8")
            publish(draft, path)
    except OSError as error:
        why = f"cannot be written ({error.strerror})"
        raise UserError(why, where=str(path), hint="Choose another file with --out") from None
