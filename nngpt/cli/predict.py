"""`nngpt predict`: what becomes of a network, before it is trained to the end."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson, print_json
from nngpt.cli.predictor import PredictorFile
from nngpt.errors import DataError, UserError

if TYPE_CHECKING:
    from nngpt.prediction.predictor import Prediction


def predict(
    file: Annotated[Path, typer.Argument(help="Python file with a network.", metavar="FILE")],
    dataset: Annotated[str, typer.Option(help="Name of the data set, as here or in LEMUR.")],
    acc: Annotated[
        list[float] | None,
        typer.Option(help="Accuracy after the first epoch, 0…1; again for each further one."),
    ] = None,
    prm: Annotated[
        list[str] | None, typer.Option(help="A hyperparameter.", metavar="NAME=VALUE")
    ] = None,
    transform: Annotated[str | None, typer.Option(help="LEMUR's name of the transform.")] = None,
    task: Annotated[str, typer.Option(help="LEMUR's name.")] = "img-classification",
    metric: Annotated[str, typer.Option(help="LEMUR's name.")] = "acc",
    classes: Annotated[
        int | None, typer.Option(min=2, help="Of a data set that LEMUR has not.")
    ] = None,
    predictor: PredictorFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict the final accuracy and where to stop, each with a 90% interval."""
    from nngpt.prediction.places import Place, lemur_name
    from nngpt.prediction.predictor import Predictor, default_path

    place = Place(task, lemur_name(dataset), metric)
    model = Predictor(predictor or default_path())
    settings = _hyperparameters(prm or [])
    found = model.predict(_read(file), place, settings, transform, acc or (), classes)
    if as_json:
        print_json({"file": str(file), "place": str(place), **asdict(found)})
    else:
        _print(found, len(acc or ()))


def _print(found: Prediction, given: int) -> None:
    best, stop = found.accuracy, found.stop
    typer.echo(
        f"final accuracy  {best.value:.1%}  90% interval {best.low:.1%} to {best.high:.1%}\n"
        f"stop at epoch   {stop.value:.0f}  90% interval {stop.low:.0f} to {stop.high:.0f}"
    )
    used = f"the first {found.epochs} of {given} epochs" if found.epochs else "no epochs"
    typer.echo(
        f"Final: the best within 50 epochs; stop: the first within one point of it. Used: {used}."
    )
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)


def _read(file: Path) -> str:
    from nngpt.prediction.code import defines_network

    try:
        code = file.read_text(encoding="utf-8-sig")
        network = defines_network(code)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file)) from None
    except DataError as error:
        raise DataError(error.what, where=str(file)) from None
    if not network:
        what = "there is no network in it"
        raise UserError(
            what, where=str(file), hint="It wants a class Net, or one derived from nn.Module"
        )
    return code


def _hyperparameters(given: list[str]) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--prm {text} is not NAME=VALUE", hint="Such as --prm lr=0.01")
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f"--prm {text}: {value!r} is no number") from None
        if not math.isfinite(float(value)):
            raise UserError(f"--prm {text}: {value!r} is no finite number")
    return found
