"""`nngpt predictor`: make, judge and describe what `nngpt predict` answers with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.history import log, read_history
from nngpt.cli.options import AsJson, Folder, console, make_folder, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.prediction.runs import History

app = typer.Typer(no_args_is_help=True, help="Final accuracy from first epochs: the predictor.")

PredictorFile = Annotated[
    Path | None, typer.Option("--predictor", help="Its file (default: in the cache).")
]
_STOPPED = "Stopped. Nothing was written."
SPLITS = ("component", "family", "place", "reference")


@app.command()
def train(
    folder: Folder = Path("runs"),
    out: PredictorFile = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=0, max=49, help="Answer after so many epochs; again for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn from the long runs in the mirror of LEMUR (minutes)."""
    from nngpt.prediction import file, learned
    from nngpt.prediction.predictor import default_path

    path = out or default_path()
    make_folder(path.parent, "--predictor")
    with stoppable(_STOPPED):
        history = _long_runs(folder)
        found = learned.learn(history, log, sorted({0, *(epochs or learned.HORIZONS)}))
        file.write(found, path)
    if as_json:
        print_json({"file": str(path), **found.card})
    else:
        card = found.card
        typer.echo(
            f"{path}: learned from {card['runs']:,} runs of {card['networks']} networks on "
            f"{len(card['places'])} places. How good it is: nngpt predictor eval"
        )


@app.command("eval")
def evaluate(
    folder: Folder = Path("runs"),
    split: Annotated[list[str] | None, typer.Option(help="; ".join(SPLITS))] = None,
    epochs: Annotated[
        list[int] | None, typer.Option(min=0, max=49, help="First epochs that are known.")
    ] = None,
    without_code: Annotated[bool, typer.Option("--without-code", help="Leave it out.")] = False,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Learn from this share of the groups only.")
    ] = 1.0,
    stopping: Annotated[
        bool, typer.Option("--stopping", help="Instead: what stopping early saves and loses.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn anew without each group of runs in turn, and predict these."""
    from nngpt.prediction.evaluation import evaluate as figures_of
    from nngpt.reports.tables.predictor import by_place, figures_table

    splits = tuple(split or SPLITS)
    if unknown := set(splits) - set(SPLITS):
        raise UserError(f"unknown split {min(unknown)!r}", hint=f"Known: {', '.join(SPLITS)}")
    if stopping:
        if split or without_code or share < 1:
            raise UserError("--stopping takes no --split, --without-code or --share")
        _replay(folder, epochs, as_json)
        return
    with stoppable(_STOPPED):
        history = _long_runs(folder)
        found = list(
            figures_of(history, splits, tuple(epochs or (2,)), log, not without_code, share)
        )
    if as_json:
        print_json([asdict(figures) for figures in found])
    else:
        console().print(figures_table(found))
        console().print(by_place(found))


def _replay(folder: Path, epochs: list[int] | None, as_json: bool) -> None:
    from nngpt.prediction import learned
    from nngpt.prediction.replay import replay
    from nngpt.reports.tables.predictor import replay_lines

    with stoppable(_STOPPED):
        found = replay(_long_runs(folder), epochs or learned.HORIZONS, log)
    if as_json:
        print_json(asdict(found))
    else:
        typer.echo("\n".join(replay_lines(found)))


@app.command()
def info(predictor: PredictorFile = None, as_json: AsJson = False) -> None:
    """What a predictor learned from, when, and how."""
    from nngpt.prediction.file import PredictorFile as File
    from nngpt.prediction.predictor import default_path
    from nngpt.reports.tables.predictor import card_table

    file = File(predictor or default_path())
    if as_json:
        print_json({"file": str(file.path), **file.card})
    else:
        console().print(card_table(str(file.path), file.card))


def _long_runs(folder: Path) -> History:
    from nngpt.prediction import targets

    return read_history(folder, targets.EPOCHS)
