"""`nngpt cycle`: run the loop and show its runs."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.cycle_confirm import confirm
from nngpt.cli.cycle_export import export
from nngpt.cli.cycle_report import report
from nngpt.cli.inputs import check_database, check_folder, find_run, load_config, open_store
from nngpt.cli.options import (
    AsJson,
    BudgetMinutes,
    ConfigName,
    Folder,
    Overrides,
    RunName,
    Sandbox,
    Seed,
)
from nngpt.cli.output import console, print_json, print_result
from nngpt.cli.stopping import stoppable

app = typer.Typer(
    no_args_is_help=True, help="Run the loop (generate, train, judge, fine-tune); show its runs."
)
Cycles = Annotated[
    int | None, typer.Option(help="Total number of cycles (default: the configuration's).", min=1)
]


@app.command()
def run(
    config: ConfigName,
    cycles: Cycles = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    fresh: Annotated[bool, typer.Option(help="Start a new run; the old one is kept.")] = False,
    probe: Annotated[
        bool, typer.Option(help="Measure each stage first, to forecast the duration.")
    ] = False,
    budget_minutes: BudgetMinutes = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of the loop, or resume it."""
    from nngpt.cycle.runner import is_finished, run_loop
    from nngpt.reports.progress import ConsoleProgress

    settings = load_config(config, overrides, cycles=cycles, seed=seed, sandbox=sandbox)
    with stoppable():
        if fresh or not is_finished(settings):
            check_folder(settings.folder, "--set folder=…")
            with ConsoleProgress(console(stderr=as_json)) as progress:
                run_loop(settings, progress, fresh, probe, budget_minutes)
        _show(settings.folder, settings.name, as_json)


@app.command()
def forecast(
    config: ConfigName,
    cycles: Cycles = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Forecast how long a run will take, from earlier runs or from a probe."""
    from nngpt.cycle.forecast import forecast_rest
    from nngpt.reports.text import plural

    settings = load_config(config, overrides, cycles=cycles)
    with stoppable():
        expected, times, left = forecast_rest(settings, console(stderr=True).print)
    text = f"{plural(left, 'cycle')}: {expected.line}, from {times.source}"
    print_result(as_json, {"cycles": left, **asdict(expected), "basis": asdict(times)}, text)


@app.command()
def status(run: RunName = None, folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """Show the progress of a run, cycle by cycle."""
    _show(folder, run, as_json)


@app.command("list")
def list_runs(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs of a folder."""
    from nngpt.reports.tables.runs import runs_table

    with open_store(folder) as store:
        runs = store.runs()
        print_result(as_json, [asdict(run) for run in runs], runs_table(runs, store))


@app.command()
def show(
    attempt: Annotated[
        int, typer.Argument(help="Number of the attempt, printed after # during a run.")
    ],
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show an attempt (one generated network): code, results of all checks, learning curve."""
    from nngpt.reports.attempts import attempt_report

    with open_store(folder) as store:
        record = store.attempt(attempt)
        blocks = store.question(record).blocks
        facts = {**asdict(record), "blocks": [asdict(block) for block in blocks]}
        print_result(as_json, facts, attempt_report(record, blocks))


@app.command()
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


for command in (report, confirm, export):
    app.command()(command)


def _show(folder: Path, name: str | None, as_json: bool) -> None:
    from nngpt.reports.tables.runs import print_status, status_json

    with open_store(folder) as store:
        record = find_run(store, name)
        if as_json:
            print_json(status_json(store, record))
        else:
            print_status(store, record, console())
