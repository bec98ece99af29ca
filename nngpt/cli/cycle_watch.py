"""`nngpt cycle watch`: show a run in the browser while it is in progress."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import check_database, find_run
from nngpt.cli.options import Folder, RunName
from nngpt.cli.stopping import stoppable


def watch(
    run: RunName = None,
    folder: Folder = Path("runs"),
    port: Annotated[
        int, typer.Option(help="Port on this machine; 0 takes any free one.", min=0, max=65535)
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser.")
    ] = False,
) -> None:
    """Show a run in the browser: a live page, served to this machine only."""
    from nngpt.reports.live.database import open_watched
    from nngpt.reports.live.server import WatchServer
    from nngpt.reports.live.snapshot import Snapshots
    from nngpt.reports.text import line

    store, database = open_watched(check_database(folder))
    with store, stoppable("Stopped watching. The run is not affected."):
        record = find_run(store, run)
        snapshots = Snapshots(store, database, record.id)
        snapshots.current()  # so that the first page is ready, or the error is printed here
        with WatchServer(snapshots, port) as server:
            typer.echo(server.address)
            typer.echo(f"Watching run {record.id}, {line(record.name)}. Ctrl-C ends it.", err=True)
            if open_page:
                typer.launch(server.address)
            os.nice(5)  # watching must not slow the run down
            server.serve_forever()
