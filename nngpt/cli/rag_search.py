"""`nngpt rag search` and `show`: find blocks and show their origin and code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import console, print_json

Target = Annotated[
    str, typer.Argument(help="Class, module.Class or source:module.Class.", metavar="NAME")
]


def search(
    question: Annotated[
        str, typer.Argument(help="Description of the block in words.", metavar="QUESTION")
    ],
    top: Annotated[int, typer.Option(min=1, help="Number of blocks to show.")] = 10,
    copyleft: Annotated[
        bool, typer.Option("--copyleft", help="Include blocks under copyleft or unknown licences.")
    ] = False,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Search names, docstrings and code of all indexed blocks (BM25)."""
    from nngpt.reports.tables.retrieval import hits_table
    from nngpt.retrieval import catalogue
    from nngpt.retrieval.search import search as find

    known = catalogue.blocks(catalogue.open_index(folder))
    hits = find([b for b in known if copyleft or not b.copyleft], question, top)
    if as_json:
        found = [{"score": h.score, "target": h.block.target, **asdict(h.block)} for h in hits]
        print_json([{k: v for k, v in one.items() if k != "words"} for one in found])
    elif hits:
        console().print(hits_table(hits))
    else:
        typer.echo("No block contains any of these words.", err=True)
        raise typer.Exit(1)


def show(target: Target, folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """Show where a block comes from, and its class as written in its library."""
    from nngpt.retrieval import catalogue
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = catalogue.open_index(folder)
    facts = Extractor(Library(catalogue.sources(database))).original(target)
    code = facts.pop("code")
    place = facts["target"].partition(":")[2]
    known = catalogue.blocks(database)
    facts["module"] = any(f"{block.module}.{block.name}" == place for block in known)
    if as_json:
        print_json({**facts, "code": code})
        return
    for name, value in facts.items():
        typer.echo(f"# {name}: {value}")
    typer.echo(f"\n{code}")
