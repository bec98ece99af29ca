"""`nngpt rag`: library blocks as self-contained files. One module per command, `rag_….py`."""

from __future__ import annotations

import typer

from nngpt.cli import rag_bench, rag_extract, rag_index, rag_search

app = typer.Typer(
    no_args_is_help=True, help="PyTorch blocks of libraries, each as one self-contained file."
)

app.command("index")(rag_index.index)
app.command("remove")(rag_index.remove)
app.command("list")(rag_index.list_)
app.command("search")(rag_search.search)
app.command("show")(rag_search.show)
app.command("extract")(rag_extract.extract)
app.command("bench")(rag_bench.bench)
