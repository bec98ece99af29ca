"""`nngpt models`: the language models that travel in packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.generation.models.embedded import Listing

app = typer.Typer(no_args_is_help=True, help="Embedded language models: list them, fetch them.")

_Adapter = Annotated[
    Path, typer.Argument(help="An adapter's folder, or a name from `nngpt models adapters`.")
]
_Name = Annotated[str, typer.Argument(help="A name from `nngpt models list`.")]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the embedded models, and which of them are on this machine."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from nngpt.generation.models import embedded

    rows = embedded.listing()
    if as_json:
        typer.echo(json.dumps([_values(row) for row in rows]))
        return
    console = Console()
    name = Column("model", no_wrap=True)
    box = SIMPLE if console.is_terminal else None
    table = Table(name, "size", "license", "cached", "what it is", box=box)
    for row in rows:
        size = f"{row.model.size / 1e6:,.0f} MB"
        cached = "yes" if row.path else "no"
        table.add_row(row.model.name, size, row.model.license, cached, row.model.about)
    console.print(table)


@app.command()
def adapters(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the LoRA adapters that come with nngpt: `--set llm.adapter=NAME` uses one."""
    from dataclasses import asdict

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Column, Table

    from nngpt.generation.models.adapters import shipped

    found = shipped()
    if as_json:
        typer.echo(json.dumps([asdict(adapter) for adapter in found]))
        return
    console = Console()
    box = SIMPLE if console.is_terminal else None
    table = Table(Column("adapter", no_wrap=True), "for", "pairs", "card", box=box)
    for adapter in found:
        card = f"{adapter.path}/README.md"
        table.add_row(adapter.name, adapter.base, f"{adapter.pairs:,}", card)
    console.print(table)


@app.command()
def pull(name: _Name) -> None:
    """Bring an embedded model onto this machine, verify it, and print its path."""
    from nngpt.generation.models import embedded

    typer.echo(embedded.pull(name, lambda line: typer.echo(line, err=True)))


@app.command()
def path(name: _Name) -> None:
    """Print where an embedded model is on this machine."""
    from nngpt.generation.models import embedded

    typer.echo(embedded.path(name))


@app.command()
def merge(
    adapter: _Adapter,
    out: Annotated[Path, typer.Option(help="A new folder for the model.")],
    base: Annotated[
        str | None, typer.Option(help="Where the base's weights are (default: its name).")
    ] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "bfloat16",
) -> None:
    """Merge an adapter into its base: an ordinary model folder for `llm.model` and others."""
    from nngpt.generation.models import merging
    from nngpt.generation.models.adapters import find_adapter

    if dtype not in ("float32", "bfloat16"):
        raise UserError(f"{dtype!r} is not float32 or bfloat16", where="--dtype")
    typer.echo(merging.merge(find_adapter(adapter), out, dtype, base))


@app.command()
def export(
    adapter: _Adapter,
    out: Annotated[Path, typer.Option(help="A new folder for the adapter.")],
    base_name: Annotated[
        str | None, typer.Option(help="What the base is called there (a Hub id, a folder).")
    ] = None,
) -> None:
    """Copy an adapter with its lineage, for `peft`, vLLM and others."""
    from nngpt.generation.models import merging
    from nngpt.generation.models.adapters import find_adapter

    typer.echo(merging.export(find_adapter(adapter), out, base_name))


def _values(row: Listing) -> dict[str, object]:
    return {
        "name": row.model.name,
        "about": row.model.about,
        "license": row.model.license,
        "size": row.model.size,
        "sha256": row.model.sha256,
        "path": str(row.path) if row.path else None,
    }
