"""`nngpt cycle export`: write a run's best networks as code, weights and ONNX, each with a card."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import find_run, make_folder, open_store
from nngpt.cli.options import AsJson, Folder, RunName, Sandbox
from nngpt.cli.output import logger, print_result
from nngpt.cli.stopping import stoppable

Best = Annotated[
    int, typer.Option(help="Number of networks, the best by validation accuracy.", min=1)
]
Out = Annotated[Path, typer.Option(help="New or empty folder, or that of an interrupted export.")]
Epochs = Annotated[
    int | None, typer.Option(help="Epochs to train for (default: as in the run).", min=1)
]
Onnx = Annotated[bool, typer.Option(help="Write ONNX files too.")]
Attempts = Annotated[
    list[int],
    typer.Option(
        "--attempt",
        help="Number of an attempt to export instead of the best; repeatable.",
        metavar="N",
    ),
]

_NO_ONNX = (
    "No ONNX files: the package onnx is not installed. "
    "Install it with pip install 'nngpt[onnx]', or use --no-onnx."
)


def export(
    out: Out,
    run: RunName = None,
    best: Best = 5,
    epochs: Epochs = None,
    onnx: Onnx = True,
    attempts: Attempts = [],  # noqa: B006 (typer copies it)
    folder: Folder = Path("runs"),
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Retrain a run's best networks and export code, weights, ONNX; exit with 1 on a refusal."""
    from nngpt.cycle.export import Export, export_config
    from nngpt.reports.analysis.best import best_networks
    from nngpt.reports.sheets import rich_table

    log = logger(as_json)
    with open_store(folder) as store, stoppable():
        record = find_run(store, run)
        networks = best_networks(store, record, best, attempts)
        if onnx and find_spec("onnx") is None:
            log(_NO_ONNX)
            onnx = False
        settings = export_config(record, epochs, sandbox)
        make_folder(out, "--out")
        index = Export(out, settings, onnx).write(record, networks, log)
    print_result(as_json, index.facts, rich_table(index.sheet))
    if any("refused" in row for row in index.facts["networks"]):
        raise typer.Exit(1)
