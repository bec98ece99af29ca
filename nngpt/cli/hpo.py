"""`nngpt hpo`: hyperparameters for a network and a data set, in one shot."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import DATABASE, AsJson, Folder, console, make_folder, print_json
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError, nearest

if TYPE_CHECKING:
    from nngpt.hpo.choosing import Choice
    from nngpt.prediction.runs import History

app = typer.Typer(no_args_is_help=True, help="Hyperparameters for a network, in one shot.")

_STOPPED = "Stopped. Nothing was written."
_File = Annotated[
    Path | None, typer.Option("--surrogate", help="Its file (default: in the cache).")
]
ENGINES = ("surrogate", "default")


@app.command()
def train(
    folder: Folder = Path("runs"),
    out: _File = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Choose for so many epochs; again for more (default 1, 5, 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Learn from all trials in the mirror of LEMUR (minutes)."""
    from nngpt.hpo import learned

    path = out or learned.default_path()
    make_folder(path.parent, "--surrogate")
    with stoppable(_STOPPED):
        card = learned.train(_history(folder), path, _say, epochs or learned.EPOCHS)
    if as_json:
        print_json({"file": str(path), **card})
    else:
        trials = ", ".join(f"{n:,} after {e} epochs" for e, n in card["trials"].items())
        typer.echo(f"{path}: learned from trials ({trials}). How good it is: nngpt hpo bench")


@app.command()
def predict(
    file: Annotated[Path, typer.Argument(help="Python file with a network.", metavar="FILE")],
    dataset: Annotated[str, typer.Option(help="Name of the data set, as here or in LEMUR.")],
    epochs: Annotated[int, typer.Option(min=1, help="How long it will be trained.")] = 1,
    top: Annotated[int, typer.Option(min=1, max=20, help="So many different choices.")] = 1,
    engine: Annotated[str, typer.Option(help=" or ".join(ENGINES))] = "surrogate",
    target_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Say whether it can be reached.")
    ] = None,
    max_batch: Annotated[
        int, typer.Option(min=1, max=4096, help="Images that memory takes at once.")
    ] = 256,
    max_side: Annotated[
        int | None, typer.Option(min=8, help="Largest side of an image in pixels.")
    ] = None,
    surrogate: _File = None,
    as_json: AsJson = False,
) -> None:
    """Choose hyperparameters, batch size and transform; prints YAML for a configuration."""
    from nngpt.hpo import choosing, learned
    from nngpt.prediction.places import IMAGE_CLASSIFICATION, Place, lemur_name

    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}", mend=nearest(engine, ENGINES))
    code, supported = _network(file)
    if engine == "default":
        choices = [choosing.by_default(supported, epochs, max_batch)]
    else:
        place = Place(IMAGE_CLASSIFICATION, lemur_name(dataset), "acc")
        model = learned.SurrogateFile(surrogate or learned.default_path())
        choices = choosing.by_surrogate(
            model, code, supported, place, epochs, top, max_batch, max_side
        )
    if as_json:
        print_json([asdict(choice) for choice in choices])
    else:
        _print(choices, epochs, target_accuracy)


@app.command()
def bench(
    folder: Folder = Path("runs"),
    folds: Annotated[
        Path | None, typer.Option(help="Frozen folds; written if the file is not there.")
    ] = None,
    epochs: Annotated[
        list[int] | None, typer.Option(min=1, help="After so many epochs (default 1 and 5).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How much accuracy each engine gives away on pools of recorded trials."""
    from nngpt.hpo import bench as benchmark
    from nngpt.hpo import folds as freezing
    from nngpt.reporting.hpo_tables import regret_table

    with stoppable("Stopped."):
        history = _history(folder)
        if folds is not None and folds.exists():
            frozen = freezing.read(folds)
        else:
            trials = Counter(run.network for run in history.runs)
            frozen = freezing.make({name: history.codes[name] for name in trials}, trials)
            if folds is not None:
                freezing.write(frozen, folds)
        found = benchmark.bench(history, frozen, tuple(epochs or (1, 5)), _say)
    if as_json:
        print_json({"folds": frozen.sha256, "regrets": [asdict(one) for one in found]})
    else:
        console().print(regret_table(found, frozen.sha256))


def _print(choices: list[Choice], epochs: int, target: float | None) -> None:
    from yaml import safe_dump

    for number, choice in enumerate(choices, start=1):
        said = f"# {number}, by {choice.engine}"
        if choice.accuracy is not None:
            value, low, high = choice.accuracy
            said += (
                f": {value:.1%} expected after {choice.epochs} epochs, "
                f"90% interval {low:.1%} to {high:.1%}"
            )
            if target is not None and high < target:
                said += f"; {target:.1%} is out of reach"
        typer.echo(said)
        evaluation = {
            "epochs": epochs,
            "batch": choice.batch,
            "transform": choice.transform.replace("_", "-"),
            "hyperparameters": dict(choice.hyperparameters),
        }
        typer.echo(safe_dump({"evaluation": evaluation}, sort_keys=False).rstrip())
    for note in dict.fromkeys(note for choice in choices for note in choice.notes):
        typer.echo(f"note: {note}", err=True)


def _network(file: Path) -> tuple[str, frozenset[str]]:
    from nngpt.contract.interface import read_supported
    from nngpt.records import Refusal

    try:
        code = file.read_text(encoding="utf-8-sig")
        supported = read_supported(ast.parse(code))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file)) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"is no Python ({error})", where=str(file)) from None
    if isinstance(supported, Refusal):
        raise UserError(supported.reason, where=str(file))
    return code, supported


def _history(folder: Path) -> History:
    from nngpt.prediction.runs import read_runs
    from nngpt.store.database import open_database

    path = folder / DATABASE
    if not path.exists():
        raise UserError("no mirror here", where=str(path), mend="Fetch LEMUR: nngpt lemur pull")
    database = open_database(path, create=False)
    try:
        return read_runs(database, 1)
    finally:
        database.close()


def _say(what: str) -> None:
    out = console(stderr=True)
    if out.is_terminal:
        out.print(f"{what} …", style="dim")
