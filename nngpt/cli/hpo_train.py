"""`nngpt hpo train`: train the surrogate on LEMUR's trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import make_folder
from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import print_json
from nngpt.cli.predictor import log
from nngpt.cli.stopping import stoppable


def train(
    folder: Folder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--surrogate", help="File to write (default: in the cache).")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Length of trainings; repeat for more (default: 1, 5 and 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the surrogate on all trials in the mirror of LEMUR (minutes)."""
    from nngpt.prediction.hpo import surrogate
    from nngpt.prediction.runs import read_history
    from nngpt.prediction.targets import epoch_count

    path = out or surrogate.default_path()
    make_folder(path.parent, "--surrogate")
    with stoppable("Stopped. Nothing was written."):
        horizons = epochs or surrogate.EPOCHS
        card = surrogate.train(read_history(folder), path, log, horizons)
    if as_json:
        print_json({"file": str(path), **card})
    else:
        trials = ", ".join(f"{n:,} after {epoch_count(int(e))}" for e, n in card["trials"].items())
        typer.echo(f"{path}: learned from trials ({trials}). Its quality: nngpt hpo bench")
