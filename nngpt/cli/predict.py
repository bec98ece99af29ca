"""`nngpt predict`: predict the final accuracy and stopping epoch of a training."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson, DataSet, NetworkFile
from nngpt.cli.output import print_result
from nngpt.cli.predictor import PredictorFile
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.prediction.predictor import Prediction


def predict(
    file: NetworkFile,
    dataset: DataSet,
    acc: Annotated[
        list[float] | None,
        typer.Option(help="Accuracy after the first epoch, 0…1; repeat for each further epoch."),
    ] = None,
    prm: Annotated[
        list[str] | None, typer.Option(help="A hyperparameter.", metavar="NAME=VALUE")
    ] = None,
    transform: Annotated[str | None, typer.Option(help="Name of the transform in LEMUR.")] = None,
    task: Annotated[str, typer.Option(help="Name of the task in LEMUR.")] = "img-classification",
    metric: Annotated[str, typer.Option(help="Name of the metric in LEMUR.")] = "acc",
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Number of classes, if LEMUR does not have the data set."),
    ] = None,
    predictor: PredictorFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict the final accuracy and the stopping epoch, each with a 90% interval."""
    from nngpt.prediction.network_files import read_network
    from nngpt.prediction.places import Place, lemur_name
    from nngpt.prediction.predictor import Predictor, default_path

    place = Place(task, lemur_name(dataset), metric)
    model = Predictor(predictor or default_path())
    settings = _hyperparameters(prm or [])
    found = model.predict(read_network(file), place, settings, transform, acc or (), classes)
    facts = {"file": str(file), "place": str(place), **asdict(found)}
    print_result(as_json, facts, _summary(found, len(acc or ())))
    for note in () if as_json else found.notes:
        typer.echo(f"note: {note}", err=True)


def _summary(found: Prediction, given: int) -> str:
    from nngpt.prediction.targets import epoch_count

    best, stop = found.accuracy, found.stop
    used = f"the first {found.epochs} of {epoch_count(given)}" if found.epochs else "no epochs"
    return (
        f"final accuracy  {best.value:.1%}  90% interval {best.low:.1%} to {best.high:.1%}\n"
        f"stop at epoch   {stop.value:.0f}  90% interval {stop.low:.0f} to {stop.high:.0f}\n"
        "Final: the best accuracy within 50 epochs. Stop: the first epoch within one point of it. "
        f"Used: {used}."
    )


def _hyperparameters(given: list[str]) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--prm {text} is not NAME=VALUE", hint="Example: --prm lr=0.01")
        try:
            found[name] = float(value)
        except ValueError:
            raise UserError(f"--prm {text}: {value!r} is not a number") from None
        if not math.isfinite(float(value)):
            raise UserError(f"--prm {text}: {value!r} is not finite")
    return found
