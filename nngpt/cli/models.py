"""`nngpt models`: embedded language models and LoRA adapters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from nngpt.cli.options import AsJson
from nngpt.cli.output import console, print_result

app = typer.Typer(
    no_args_is_help=True, help="List and download embedded models; merge and export adapters."
)

_Adapter = Annotated[
    Path, Argument(help="Folder of an adapter, or a name from `nngpt models adapters`.")
]
_Name = Annotated[str, Argument(help="Name from `nngpt models list`.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the downloadable models, and whether each is in the cache."""
    from nngpt.generation.models import embedded
    from nngpt.reports.tables.data import models_json, models_table

    rows = [(model, embedded.cached_file(model)) for model in embedded.MODELS.values()]
    print_result(as_json, models_json(rows), models_table(rows, console().is_terminal))


@app.command()
def adapters(as_json: AsJson = False) -> None:
    """List the LoRA adapters that come with nngpt; use one with `--set llm.adapter=NAME`."""
    from nngpt.generation.models.adapters import shipped
    from nngpt.reports.tables.data import adapters_table

    found = shipped()
    table = adapters_table(found, console().is_terminal)
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
    out: Annotated[Path, Option(help="New folder for the model.")],
    base: Annotated[
        str | None, Option(help="Base model's folder or Hub id (default: the adapter's base).")
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16"], Option(help="Dtype of the weights.")
    ] = "bfloat16",
) -> None:
    """Merge an adapter into its base model and write an ordinary model folder."""
    from nngpt.generation.models.adapters import find_adapter, merge

    typer.echo(merge(find_adapter(adapter), out, dtype, base))


@app.command()
def export(
    adapter: _Adapter,
    out: Annotated[Path, Option(help="New folder for the adapter.")],
    base_name: Annotated[
        str | None, Option(help="Base model's name at the destination (Hub id, folder).")
    ] = None,
) -> None:
    """Copy an adapter with its lineage to a folder for `peft`, vLLM and others."""
    from nngpt.generation.models.adapters import export, find_adapter

    typer.echo(export(find_adapter(adapter), out, base_name))
