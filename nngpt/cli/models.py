"""`nngpt models`: embedded language models and LoRA adapters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson
from nngpt.cli.output import console, print_result
from nngpt.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from nngpt.generation.models.embedded import EmbeddedModel

app = typer.Typer(
    no_args_is_help=True, help="List and download embedded models; merge and export adapters."
)

_Adapter = Annotated[
    Path, typer.Argument(help="Folder of an adapter, or a name from `nngpt models adapters`.")
]
_Name = Annotated[str, typer.Argument(help="Name from `nngpt models list`.")]


@app.command("list")
def list_(
    as_json: AsJson = False,
) -> None:
    """List the downloadable models, and whether each is in the cache."""
    from nngpt.generation.models import embedded

    rows = [(model, embedded.cached_file(model)) for model in embedded.MODELS.values()]
    table = _table("model", "size", "license", "cached", "description")
    for model, file in rows:
        size, cached = f"{model.size / 1e6:,.0f} MB", "yes" if file else "no"
        table.add_row(model.name, size, model.license, cached, model.about)
    print_result(as_json, [_values(*row) for row in rows], table)


@app.command()
def adapters(
    as_json: AsJson = False,
) -> None:
    """List the LoRA adapters that come with nngpt; use one with `--set llm.adapter=NAME`."""
    from nngpt.generation.models.adapters import shipped

    found = shipped()
    table = _table("adapter", "base model", "pairs", "model card")
    for adapter in found:
        card = f"{adapter.path}/README.md"
        table.add_row(adapter.name, adapter.base, f"{adapter.pairs:,}", card)
    print_result(as_json, [asdict(adapter) for adapter in found], table)


@app.command()
def pull(name: _Name) -> None:
    """Download and verify an embedded model, and print its path."""
    from nngpt.generation.models import embedded

    typer.echo(embedded.pull(name, lambda line: typer.echo(line, err=True)))


@app.command()
def path(name: _Name) -> None:
    """Print the path of a downloaded model."""
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
    from nngpt.generation.models.adapters import find_adapter, merge

    if dtype not in ("float32", "bfloat16"):
        raise UserError(f"{dtype!r} is not float32 or bfloat16", where="--dtype")
    typer.echo(merge(find_adapter(adapter), out, dtype, base))


@app.command()
def export(
    adapter: _Adapter,
    out: Annotated[Path, typer.Option(help="New folder for the adapter.")],
    base_name: Annotated[
        str | None, typer.Option(help="Base model's name at the destination (Hub id, folder).")
    ] = None,
) -> None:
    """Copy an adapter with its lineage to a folder for `peft`, vLLM and others."""
    from nngpt.generation.models.adapters import export, find_adapter

    typer.echo(export(find_adapter(adapter), out, base_name))


def _values(model: EmbeddedModel, file: Path | None) -> dict[str, object]:
    """Return the JSON of one embedded model."""
    names = ("name", "about", "license", "size", "sha256")
    return {**{name: getattr(model, name) for name in names}, "path": str(file) if file else None}


def _table(name: str, *headings: str) -> Table:
    """Return an empty table, with lines on a terminal only, whose first column never wraps."""
    from rich.box import SIMPLE
    from rich.table import Column, Table

    box = SIMPLE if console().is_terminal else None
    return Table(Column(name, no_wrap=True), *headings, box=box)
