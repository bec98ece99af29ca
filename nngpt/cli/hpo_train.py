"""`nngpt hpo train`: the surrogate, learned from the mirror of LEMUR."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.history import log, read_history
from nngpt.cli.options import AsJson, Folder, make_folder, print_json
from nngpt.cli.stopping import stoppable


def train(
    folder: Folder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--surrogate", help="Its file (default: in the cache).")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Choose for so many epochs; again for more (default 1, 5, 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn from all trials in the mirror of LEMUR (minutes)."""
    from nngpt.prediction.hpo import learned

    path = out or learned.default_path()
    make_folder(path.parent, "--surrogate")
    with stoppable("Stopped. Nothing was written."):
        card = learned.train(read_history(folder), path, log, epochs or learned.EPOCHS)
    if as_json:
        print_json({"file": str(path), **card})
    else:
        trials = ", ".join(f"{n:,} after {e} epochs" for e, n in card["trials"].items())
        typer.echo(f"{path}: learned from trials ({trials}). How good it is: nngpt hpo bench")
