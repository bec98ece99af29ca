"""`nngpt leaderboard`: the trained networks of one run or of a folder of runs, best first."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from nngpt.cli.inputs import open_store
from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import print_result
from nngpt.files import DATABASE


def leaderboard(
    place: Annotated[
        str | None,
        Argument(
            help="Number or name of a run, or a folder of runs (default: all runs of --folder).",
            metavar="RUN|FOLDER",
        ),
    ] = None,
    folder: Folder = Path("runs"),
    top: Annotated[
        int | None,
        Option(help="Number of networks to show of each data set (default: 20 in a table).", min=1),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List trained networks, best first: accuracy, size, time, novelty and state."""
    from nngpt.reports.analysis.rows import read_places
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables.runs import leaderboard_sheet

    if place is not None and (Path(place) / DATABASE).is_file():
        folder, place = Path(place), None
    with open_store(folder) as store:
        runs = store.runs() if place is None else [store.run(place)]
        places = read_places(store, runs)
    facts = [
        {"rank": one.rank, **asdict(one.row), "front": one.front}
        for one in places
        if top is None or one.rank <= top
    ]
    title = f"Networks of {folder}" if place is None else f"Networks of run {place}"
    print_result(as_json, facts, rich_table(leaderboard_sheet(places, top or _ROWS, title)))


_ROWS = 20
