"""`nngpt predictor` and `nngpt predict`: train, evaluate, describe and use the predictor."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from nngpt.cli.inputs import make_folder
from nngpt.cli.options import AsJson, Classes, MirrorFolder, NetworkFile, Root, Shape
from nngpt.cli.output import console, print_notes, print_result
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Train and evaluate the accuracy predictor.")

PredictorFile = Annotated[
    Path | None,
    Option(
        "--predictor",
        help="File of the predictor (default: the one that you trained, else the packaged).",
    ),
]
KnownEpochs = Annotated[
    list[int] | None,
    Option(min=0, max=49, help="Number of known first epochs to predict from; repeatable."),
]


class Split(StrEnum):
    """Grouping of runs in a cross-validation."""

    COMPONENT = "component"
    FAMILY = "family"
    PLACE = "place"
    REFERENCE = "reference"


_STOPPED = "Stopped. Nothing was written."


@app.command()
def train(
    folder: MirrorFolder = None,
    out: Annotated[
        Path | None, Option("--predictor", help="File to write (default: in the cache).")
    ] = None,
    epochs: KnownEpochs = None,
    as_json: AsJson = False,
) -> None:
    """Train the accuracy predictor on LEMUR's long trainings; takes minutes."""
    from nngpt.prediction import predictor_training, targets
    from nngpt.prediction.predictor import default_path
    from nngpt.prediction.runs import read_history
    from nngpt.store.lemur.mirror import mirror_folder

    path = out or default_path()
    make_folder(path.parent, "--predictor")
    with stoppable(_STOPPED):
        log("reading LEMUR's long runs")
        history = read_history(mirror_folder(folder), targets.EPOCHS)
        horizons = sorted({0, *(epochs or predictor_training.HORIZONS)})
        card = predictor_training.train(history, path, log, horizons)
    learned = (
        f"{card['runs']:,} runs of {card['networks']} networks on {len(card['places'])} places"
    )
    text = f"{path}: learned from {learned}. Its quality: nngpt predictor eval"
    print_result(as_json, {"file": str(path), **card}, text)


@app.command("eval")
def evaluate(
    folder: MirrorFolder = None,
    split: Annotated[
        list[Split] | None,
        Option(
            help="Grouping of runs: components are near-duplicates, places are task, data set and "
            "metric, reference is the papers' split; repeatable (default: all)."
        ),
    ] = None,
    epochs: KnownEpochs = None,
    without_code: Annotated[
        bool, Option("--without-code", help="Predict without features of the network's code.")
    ] = False,
    share: Annotated[float, Option(min=0.01, max=1, help="Share of the groups to train on.")] = 1.0,
    stopping: Annotated[
        bool, Option("--stopping", help="Report what early stopping saves and loses, not errors.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Cross-validate the accuracy predictor: predict each group of runs from the others."""
    from nngpt.prediction import predictor_training, targets
    from nngpt.prediction.cross_validation import cross_validate
    from nngpt.prediction.early_stopping import replay
    from nngpt.prediction.runs import read_history
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables.prediction import errors_sheet, place_sheet, replay_sheet
    from nngpt.store.lemur.mirror import mirror_folder

    splits = tuple(split or Split)
    if stopping and (split or without_code or share < 1):
        raise UserError("--stopping takes no --split, --without-code or --share")
    with stoppable(_STOPPED):
        history = read_history(mirror_folder(folder), targets.EPOCHS)
        if stopping:
            result = replay(history, epochs or predictor_training.HORIZONS, log)
        else:
            horizons = tuple(epochs or (2,))
            found = list(cross_validate(history, splits, horizons, log, not without_code, share))
    if stopping:
        print_result(as_json, [asdict(one) for one in result], rich_table(replay_sheet(result)))
    else:
        tables = map(rich_table, (errors_sheet(found), place_sheet(found)))
        print_result(as_json, [asdict(errors) for errors in found], *tables)


@app.command()
def info(predictor: PredictorFile = None, as_json: AsJson = False) -> None:
    """Show what the accuracy predictor was trained on, when, and how."""
    from nngpt.prediction.model_file import file_to_use
    from nngpt.prediction.predictor import Predictor, default_path
    from nngpt.reports.tables.prediction import card_table

    file = Predictor(predictor or file_to_use(default_path()))
    table = card_table(str(file.path), file.card)
    print_result(as_json, {"file": str(file.path), **file.card}, table)


def predict(
    file: NetworkFile,
    dataset: Annotated[
        str | None, Option(help="Name of the data set, in nngpt or LEMUR (default: cifar-10).")
    ] = None,
    root: Root = None,
    classes: Classes = None,
    shape: Shape = None,
    acc: Annotated[
        list[float] | None,
        Option(help="Accuracy after the first epoch, 0…1; repeat for each further epoch."),
    ] = None,
    prm: Annotated[
        list[str] | None,
        Option(help="Value of a hyperparameter; repeatable.", metavar="NAME=VALUE"),
    ] = None,
    transform: Annotated[str | None, Option(help="Name of the transform in LEMUR.")] = None,
    task: Annotated[str, Option(help="Name of the task in LEMUR.")] = "img-classification",
    metric: Annotated[str, Option(help="Name of the metric in LEMUR.")] = "acc",
    predictor: PredictorFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict a network's final accuracy and stopping epoch, each with a 90% interval."""
    from nngpt.prediction.data_description import describe_data
    from nngpt.prediction.model_file import file_to_use
    from nngpt.prediction.network_files import read_network
    from nngpt.prediction.places import Place, lemur_name
    from nngpt.prediction.predictor import Predictor, default_path
    from nngpt.reports.tables.prediction import CANNOT_SAY, prediction_json, prediction_text

    settings = _hyperparameters(prm or [])
    code, assumed = read_network(file)
    notes = list(assumed)
    if dataset is None and root is None:
        dataset = "cifar-10"
        notes.append(f"assumed: data set {dataset}")
    data = describe_data(dataset, root, classes, read_shape(shape))
    place = Place(task, lemur_name(data.name), metric)
    model = Predictor(predictor or file_to_use(default_path()))
    asked = {"file": str(file), "place": str(place), "model": model.origin}
    if data.unknown and str(place) not in model.places:
        nothing = dict.fromkeys(("accuracy", "stop", "ceiling", "epochs"))
        told = asked | nothing | {"notes": [data.unknown, *notes]}
        return print_result(as_json, told, f"{CANNOT_SAY}: {data.unknown}")
    found = model.predict(code, place, settings, transform, acc or (), data.facts)
    notes += found.notes
    text = f"{prediction_text(found, len(acc or ()))}\nBy the {model.origin}."
    print_result(as_json, asked | prediction_json(found) | {"notes": notes}, text)
    if not as_json:
        print_notes(notes)
    return None


def read_shape(text: str | None) -> tuple[int, int, int] | None:
    """Return the shape of `3x32x32`: channels, height, width. Raises: UserError."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,4})[x×](\d{1,5})[x×](\d{1,5})", text)
    if found is None or not all(map(int, found.groups())):
        raise UserError(f"--shape {text} is not CHANNELSxHEIGHTxWIDTH", hint="Example: 3x32x32")
    channels, height, width = map(int, found.groups())
    return channels, height, width


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


def log(text: str) -> None:
    """Print a progress line of a long computation to stderr."""
    console(stderr=True).print(f"{text} …", style="dim", highlight=False)
