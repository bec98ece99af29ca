"""`nngpt rag search` and `show`: which block is it?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import AsJson, Folder, console, print_json
from nngpt.cli.rag_index import open_index

if TYPE_CHECKING:
    from nngpt.retrieval.catalogue import Block
    from nngpt.retrieval.search import Hit

Target = Annotated[
    str, typer.Argument(help="Class, module.Class or source:module.Class.", metavar="NAME")
]


def search(
    question: Annotated[str, typer.Argument(help="What the block does.", metavar="QUESTION")],
    top: Annotated[int, typer.Option(min=1, help="So many blocks.")] = 10,
    copyleft: Annotated[
        bool, typer.Option("--copyleft", help="Also from sources under a copyleft licence.")
    ] = False,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Search names, docstrings and code of all indexed blocks (BM25)."""
    from rich.table import Table

    from nngpt.retrieval import catalogue
    from nngpt.retrieval.search import search as find

    known = catalogue.blocks(open_index(folder))
    hits = find([b for b in known if copyleft or not b.copyleft], question, top)
    if as_json:
        print_json([_as_json(hit) for hit in hits])
        return
    if not hits:
        typer.echo("No block has a word of that.", err=True)
        raise typer.Exit(1)
    table = Table("score", "block", "licence", "what it says", box=None)
    for hit in hits:
        block = hit.block
        table.add_row(f"{hit.score:.1f}", block.target, block.licence, block.doc[:80])
    console().print(table)


def show(target: Target, folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """Say where a block comes from, and print its class as it stands in its library."""
    from nngpt.retrieval import catalogue
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = open_index(folder)
    extractor = Extractor(Library(catalogue.sources(database)))
    place = extractor.find(target)
    module = extractor.library.module(place.module)
    assert module is not None, "find parsed it"
    block = next(
        (b for b in catalogue.blocks(database) if (b.module, b.name) == (place.module, place.name)),
        None,
    )
    code = "\n\n".join(
        module.text.raw[s.span.start : s.span.end].decode("utf-8", "replace")
        for s in dict.fromkeys(s for s, _ in module.bindings[place.name])
    )
    facts = {
        "target": f"{module.source.name}:{place.module}.{place.name}",
        "version": module.source.version,
        "licence": module.source.licence,
        "file": module.file.path,
        "sha256": module.sha256,
        "module": block is not None,
    }
    if as_json:
        print_json({**facts, "code": code})
        return
    for name, value in facts.items():
        typer.echo(f"# {name}: {value}")
    typer.echo(f"\n{code}")


def _as_json(hit: Hit) -> dict[str, Any]:
    return {"score": hit.score, "target": hit.block.target, **_facts(hit.block)}


def _facts(block: Block) -> dict[str, Any]:
    return {key: value for key, value in asdict(block).items() if key != "words"}
