"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option


def _names(folder: str, beginning: str) -> list[str]:
    """Complete the name of a shipped configuration or experiment."""
    from nngpt.config import resource_folder

    found = sorted(file.stem for file in resource_folder("configs").glob(f"{folder}*.yaml"))
    return [name for name in found if name.startswith(beginning)]


def config_names(incomplete: str) -> list[str]:
    """Complete the name of a shipped configuration for an argument CONFIG."""
    return _names("", incomplete)


def grid_names(incomplete: str) -> list[str]:
    """Complete the name of a shipped experiment for an argument GRID."""
    return _names("grids/", incomplete)


def data_set_names(incomplete: str) -> list[str]:
    """Complete the name of a data set for an option or argument."""
    return _plug_ins("data set", incomplete)


def engine_names(incomplete: str) -> list[str]:
    """Complete the name of an HPO engine for --engine."""
    return _plug_ins("HPO engine", incomplete)


def _plug_ins(kind: str, beginning: str) -> list[str]:
    from nngpt import plugins

    return [name for name in plugins.names(kind) if name.startswith(beginning)]


ConfigName = Annotated[
    str,
    Argument(
        help="YAML file, or name of a shipped configuration.",
        metavar="CONFIG",
        autocompletion=config_names,
    ),
]
Overrides = Annotated[
    list[str],
    Option("--set", help="Change one setting, such as task.threshold=0.5.", metavar="KEY=VALUE"),
]
Seed = Annotated[int | None, Option(help="Random seed (default: the configuration's).")]
Sandbox = Annotated[
    Literal["full", "standard", "weak"] | None,
    Option(help="Sandbox level for the code of networks (default: the configuration's)."),
]
RunName = Annotated[str | None, Argument(help="Number or name of a run (default: newest).")]
BudgetMinutes = Annotated[
    float | None, Option(help="Stop after this many minutes; the same command resumes.", min=0.1)
]
AsJson = Annotated[bool, Option("--json", help="Print JSON for scripts.")]
Folder = Annotated[Path, Option("--folder", help="Folder of the runs' database.")]
MirrorFolder = Annotated[
    Path | None,
    Option(
        "--folder",
        help="Folder of the LEMUR mirror (default: the one in the cache, see nngpt lemur pull).",
    ),
]
NetworkFile = Annotated[Path, Argument(help="Python file with a network.", metavar="FILE")]
ClassName = Annotated[
    str | None,
    Option(
        "--class",
        help="Class of the network, or function that returns it (default: the only nn.Module that "
        "no other class uses).",
        metavar="NAME",
    ),
]
Init = Annotated[
    str | None,
    Option(
        help="Arguments of its constructor, if their names do not tell what they mean, such as "
        "'num_classes={classes}, depth=3'.",
        metavar="NAME=VALUE,…",
    ),
]
DataSet = Annotated[
    str | None,
    Option(
        help="Name of the data set, in nngpt or LEMUR, or a folder of images.",
        autocompletion=data_set_names,
    ),
]
Root = Annotated[
    Path | None, Option(help="Folder of images that is the data set, with a folder per class.")
]
Classes = Annotated[
    int | None, Option(help="Number of classes, if the data set is unknown.", min=2)
]
Shape = Annotated[
    str | None,
    Option(help="Shape of an image, if the data set is unknown.", metavar="CxHxW"),
]
StartingAdapter = Annotated[
    Path | None, Option(help="Adapter to continue from (folder or name); also the KL reference.")
]
Fresh = Annotated[bool, Option("--fresh", help="Start a new training; the old one is kept.")]
Levels = Annotated[
    str, Option(help="Levels of comparing networks, cheapest first, separated by commas.")
]
Threshold = Annotated[
    float, Option(help="Jaccard similarity above which two networks are duplicates.")
]
PerFamily = Annotated[int | None, Option(help="Maximum number of networks kept of each family.")]
