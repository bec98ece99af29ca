"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigName = Annotated[
    str, typer.Argument(help="YAML file, or name of a shipped configuration.", metavar="CONFIG")
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", help="Change one setting, such as task.threshold=0.5.", metavar="KEY=VALUE"
    ),
]
Seed = Annotated[int | None, typer.Option(help="Random seed (default: the configuration's).")]
Sandbox = Annotated[
    str | None,
    typer.Option(
        help="Sandbox level for the code of networks: full, standard or weak.", metavar="LEVEL"
    ),
]
RunName = Annotated[str | None, typer.Argument(help="Number or name of a run (default: newest).")]
BudgetMinutes = Annotated[
    float | None,
    typer.Option(help="Stop after this many minutes; the same command resumes.", min=0.1),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Folder = Annotated[Path, typer.Option("--folder", help="Folder of the runs' database.")]
MirrorFolder = Annotated[
    Path,
    typer.Option(
        "--folder", help="Folder of the database with the LEMUR mirror (see nngpt lemur pull)."
    ),
]
NetworkFile = Annotated[Path, typer.Argument(help="Python file with a network.", metavar="FILE")]
DataSet = Annotated[str, typer.Option(help="Name of the data set, in nngpt or LEMUR.")]
StartingAdapter = Annotated[
    Path | None,
    typer.Option(help="Adapter to continue from (folder or name); also the KL reference."),
]
Fresh = Annotated[bool, typer.Option(help="Start a new training; the old one is kept.")]
Levels = Annotated[
    str, typer.Option(help="Levels of comparing networks, cheapest first, separated by commas.")
]
Threshold = Annotated[
    float, typer.Option(help="Jaccard similarity at or above which two networks are duplicates.")
]
PerFamily = Annotated[
    int | None, typer.Option(help="Maximum number of networks kept of each family.")
]
