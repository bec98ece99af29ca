"""`nngpt models`: embedded language models and LoRA adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.generation.models.embedded import Listing

app = typer.Typer(
    no_args_is_help=True, help="List and download embedded models; merge and export adapters."
)

_Adapter = Annotated[
    Path, typer.Argument(help="Folder of an adapter, or a name from `nngpt models adapters`.")
]
_Name = Annotated[str, typer.Argument(help="Name from `nngpt models list`.")]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the embedded models and whether each is in the cache."""
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
    table = Table(name, "size", "license", "cached", "description", box=box)
    for row in rows:
        size = f"{row.model.size / 1e6:,.0f} MB"
        cached = "yes" if row.path else "no"
        table.add_row(row.model.name, size, row.model.license, cached, row.model.about)
    console.print(table)


@app.command()
def adapters(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """List the LoRA adapters that come with nngpt; use one with `--set llm.adapter=NAME`."""
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
    table = Table(Column("adapter", no_wrap=True), "base model", "pairs", "model card", box=box)
    for adapter in found:
        card = f"{adapter.path}/README.md"
        table.add_row(adapter.name, adapter.base, f"{adapter.pairs:,}", card)
    console.print(table)


@app.command()
def pull(name: _Name) -> None:
    """Download and verify an embedded model, and print its path."""
    from nngpt.generation.models import embedded

    typer.echo(embedded.pull(name, lambda line: typer.echo(line, err=True)))


@app.command()
def path(name: _Name) -> None:
    """Print the path of an embedded model in the cache."""
    from nngpt.generation.models import embedded

    typer.echo(embedded.path(name))


@app.command()
def merge(
    adapter: _Adapter,
    out: Annotated[Path, typer.Option(help="New folder for the model.")],
    base: Annotated[
        str | None,
        typer.Option(help="Base model's folder or Hub id (default: the adapter's base)."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="Dtype of the weights: float32 or bfloat16.")
    ] = "bfloat16",
) -> None:
    """Merge an adapter into its base model and write an ordinary model folder."""
    from nngpt.generation.models import adapter_export
    from nngpt.generation.models.adapters import find_adapter

    if dtype not in ("float32", "bfloat16"):
        raise UserError(f"{dtype!r} is not float32 or bfloat16", where="--dtype")
    typer.echo(adapter_export.merge(find_adapter(adapter), out, dtype, base))


@app.command()
def export(
    adapter: _Adapter,
    out: Annotated[Path, typer.Option(help="New folder for the adapter.")],
    base_name: Annotated[
        str | None, typer.Option(help="Base model's name at the destination (Hub id, folder).")
    ] = None,
) -> None:
    """Copy an adapter with its lineage to a folder for `peft`, vLLM and others."""
    from nngpt.generation.models import adapter_export
    from nngpt.generation.models.adapters import find_adapter

    typer.echo(adapter_export.export(find_adapter(adapter), out, base_name))


def _values(row: Listing) -> dict[str, object]:
    """Return the JSON of one embedded model."""
    return {
        "name": row.model.name,
        "about": row.model.about,
        "license": row.model.license,
        "size": row.model.size,
        "sha256": row.model.sha256,
        "path": str(row.path) if row.path else None,
    }
