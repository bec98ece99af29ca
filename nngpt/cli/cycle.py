"""`nngpt cycle`: run the loop and show its runs."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from nngpt.cli.inputs import check_folder, load_config, make_folder, open_store
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
from nngpt.cli.output import console, logger, print_json, print_result, progress_bars
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError
from nngpt.plugins import names

app = typer.Typer(
    no_args_is_help=True, help="Run the loop (generate, train, judge, fine-tune); show its runs."
)
Cycles = Annotated[
    int | None, Option(help="Total number of cycles (default: the configuration's).", min=1)
]


_Share = Annotated[float, Option(help="Share of the trained candidates to confirm.", min=0, max=1)]
_AtLeast = Annotated[int, Option(help="Minimum sample size.", min=1)]
_Repeats = Annotated[
    int, Option(help="Full trainings of each candidate, with other seeds.", min=1, max=100)
]
_ConfirmEpochs = Annotated[int, Option(help="Epochs of each full training.", min=1)]
_TrainLimit = Annotated[
    int | None,
    Option(
        help="Number of training images, 0 for all (default: as in the run).",
        min=0,
        show_default=False,
    ),
]
_ConfirmSeed = Annotated[
    int | None, Option(help="Seed of the sample and the trainings (default: the run's).", min=0)
]
_Best = Annotated[int, Option(help="Number of networks, the best by validation accuracy.", min=1)]
_Out = Annotated[Path, Option(help="New or empty folder, or that of an interrupted export.")]
_ExportEpochs = Annotated[
    int | None, Option(help="Epochs to train for (default: as in the run).", min=1)
]
_Trackers = Annotated[
    list[str] | None,
    Option(
        "--track",
        help=f"Show the run in another program too: {', '.join(names('tracker'))}, or the dotted "
        "path of a module; repeatable.",
        metavar="TRACKER",
    ),
]
_Onnx = Annotated[bool, Option(help="Write ONNX files too.")]
_Attempts = Annotated[
    list[int],
    Option(
        "--attempt",
        help="Number of an attempt to export instead of the best; repeatable.",
        metavar="N",
    ),
]
_Known = Annotated[
    bool,
    Option("--known", help="Include near-duplicates of known networks, which novelty refused."),
]
_NO_ONNX = (
    "No ONNX files: the package onnx is not installed. "
    "Install it with pip install onnx onnxscript, or use --no-onnx."
)


@app.command()
def run(
    config: ConfigName,
    cycles: Cycles = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    fresh: Annotated[bool, Option("--fresh", help="Start a new run; the old one is kept.")] = False,
    probe: Annotated[
        bool, Option("--probe", help="Measure each stage first, to forecast the duration.")
    ] = False,
    budget_minutes: BudgetMinutes = None,
    trackers: _Trackers = None,
    as_json: AsJson = False,
) -> None:
    """Start a run of the loop, or resume it."""
    from nngpt.cycle.runner import is_finished, run_loop
    from nngpt.cycle.tracking import track
    from nngpt.reports.progress import ConsoleProgress

    given = {"cycles": cycles, "seed": seed, "sandbox": sandbox, "tracking": trackers}
    settings = load_config(config, overrides, **given)
    with stoppable():
        if fresh or not is_finished(settings):
            check_folder(settings.folder, "--set folder=…")
            with ConsoleProgress(console(stderr=as_json)) as progress:
                run_loop(settings, progress, fresh, probe, budget_minutes)
        elif settings.tracking:
            track(settings.folder, settings.name, settings.tracking, logger())
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
    with stoppable("Stopped. A probe keeps nothing: the same command begins anew."):
        expected, times, left = forecast_rest(settings, console(stderr=True).print)
    text = f"{plural(left, 'cycle')}: {expected.line}, from {times.source}"
    print_result(as_json, {"cycles": left, **asdict(expected), "basis": asdict(times)}, text)


@app.command()
def status(run: RunName = None, folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """Show the progress of a run, cycle by cycle."""
    _show(folder, run, as_json)


@app.command("list")
def list_runs(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """List the runs of a folder, with data set and best accuracy."""
    from nngpt.reports.tables.runs import run_facts, runs_table

    with open_store(folder) as store:
        runs = [run_facts(run, store) for run in store.runs()]
    print_result(as_json, runs, runs_table(runs))


@app.command()
def show(
    attempt: Annotated[int, Argument(help="Number of the attempt, printed after # during a run.")],
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
def check(
    run: RunName = None,
    folder: Folder = Path("runs"),
    save: Annotated[Path | None, Option(help="New file for a copy of all that is whole.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the database of runs for damage (exit code 2), and show what can be saved."""
    from nngpt.store.folder import find_database
    from nngpt.store.salvage import report_damage, save_whole

    path = find_database(folder)
    report = report_damage(path, run)
    lines = report.lines
    if save is not None:
        lost = save_whole(path, save)
        lines.append(f"{save} holds all that is whole; rows left out: {lost}")
    print_result(as_json, asdict(report), "\n".join(lines))
    if report.findings:
        raise typer.Exit(2)


@app.command()
def watch(
    run: RunName = None,
    folder: Folder = Path("runs"),
    port: Annotated[
        int, Option(help="Port on this machine; 0 takes any free one.", min=0, max=65535)
    ] = 0,
    open_page: Annotated[bool, Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show a run in the browser: a live page, served to this machine only."""
    from nngpt.reports.live.database import open_watched
    from nngpt.reports.live.server import WatchServer
    from nngpt.reports.live.snapshot import Snapshots
    from nngpt.reports.text import line
    from nngpt.store.folder import find_database, find_run

    store, database = open_watched(find_database(folder))
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


@app.command()
def report(
    run: RunName = None,
    folder: Folder = Path("runs"),
    out: Annotated[
        Path | None, Option(help="Folder of the report (default: reports/ in the runs' folder).")
    ] = None,
    best: Annotated[int, Option(help="Number of networks in the gallery.", min=0, max=100)] = 6,
    as_json: AsJson = False,
) -> None:
    """Write a page with figures and tables about a run."""
    from rich.text import Text

    from nngpt.cycle.reporting import report_folder, write_report
    from nngpt.store.folder import find_run

    with open_store(folder) as store:
        record = find_run(store, run)
        target = out or report_folder(folder, record)
        check_folder(target, "--out")
        written = write_report(store, record, folder, target, logger(), best)
    found = written.report
    facts = {"verdict": found.verdict, "warnings": found.warnings}
    figures = f"{len(found.figures) // 2} figures as PNG and PDF"
    files = f"Report: {written.page} ({figures}, {len(found.tables)} tables as CSV)"
    print_result(
        as_json,
        {"run": record.id, "files": [str(path) for path in written.files], **facts},
        *(Text(line) for line in (*found.warnings, *found.verdict)),
        files,
    )


@app.command()
def confirm(
    run: RunName = None,
    share: _Share = 0.05,
    epochs: _ConfirmEpochs = 20,
    at_least: _AtLeast = 10,
    repeats: _Repeats = 1,
    train_limit: _TrainLimit = None,
    seed: _ConfirmSeed = None,
    folder: Folder = Path("runs"),
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train a sample of a run for many epochs, and compare its test accuracy with epoch 1."""
    from nngpt.cycle.confirm import ConfirmationPlan, confirm_sample, confirmation_config
    from nngpt.reports.analysis.full_training import reliability_of, stratified_sample
    from nngpt.reports.analysis.proxies import proxy_ranks
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables import confirm as tables
    from nngpt.reports.text import plural
    from nngpt.store.folder import find_run

    with open_store(folder) as store, stoppable():
        record = find_run(store, run)
        settings = confirmation_config(record, overrides, sandbox)
        limit = settings.task.train_limit if train_limit is None else train_limit or None
        scaled = not any(given.startswith("evaluation.limit_s=") for given in overrides)
        chosen_seed = record.seed if seed is None else seed
        plan = ConfirmationPlan(settings, epochs, chosen_seed, limit, scaled)
        attempts = store.attempts(record.id, with_code=True)
        trained = [attempt for attempt in attempts if attempt.evaluation is not None]
        if not trained:
            raise UserError("no candidate of this run was trained", where=f"run {record.name!r}")
        sample = stratified_sample(trained, share, at_least, plan.seed)
        pairs = []
        with progress_bars() as draw:
            for repeat in range(repeats):
                each = replace(plan, repeat=repeat)
                pairs += confirm_sample(store, record, sample, each, logger(as_json), draw)
        title = f"Run {record.id}: {record.name}, {plural(epochs, 'epoch')}, on the test set"
        head = {"run": record.id, "name": record.name, "protocol": plan.protocol}
        found = reliability_of([confirmation for _, confirmation in pairs])
        proxies = proxy_ranks(trained, tables.full_accuracies(pairs))
        sheets = [tables.confirm_sheet(pairs, len(trained), title)]
        sheets += [tables.reliability_sheet(found)] if found else []
        sheets += [tables.proxies_sheet(proxies)] if proxies else []
        figures = tables.confirm_json(pairs, len(trained), found, proxies)
        print_result(as_json, {**head, **figures}, *map(rich_table, sheets))


@app.command()
def export(
    out: _Out,
    run: RunName = None,
    best: _Best = 5,
    epochs: _ExportEpochs = None,
    onnx: _Onnx = True,
    attempts: _Attempts = [],  # noqa: B006 (typer copies it)
    known: _Known = False,
    folder: Folder = Path("runs"),
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Retrain a run's best networks, and write a folder to use for each; exit with 1 if refused."""
    from nngpt.cycle.export import Export, export_config
    from nngpt.cycle.tracking import add_artefact
    from nngpt.reports.analysis.best import best_networks
    from nngpt.reports.analysis.rows import read_places
    from nngpt.reports.cards import export_notes
    from nngpt.reports.sheets import rich_table
    from nngpt.store.folder import find_run

    log = logger(as_json)
    with open_store(folder) as store, stoppable():
        record = find_run(store, run)
        networks = best_networks(store, record, best, attempts, known)
        if onnx and find_spec("onnx") is None:
            log(_NO_ONNX)
            onnx = False
        settings, places = export_config(record, epochs, sandbox), read_places(store, [record])
        for note in export_notes(networks, places):
            log(note)
        make_folder(out, "--out")
        index = Export(out, settings, onnx, places).write(record, networks, log)
        add_artefact(folder, record, "networks", out, log)
    print_result(as_json, index.facts, rich_table(index.sheet))
    if any("refused" in row for row in index.facts["networks"]):
        raise typer.Exit(1)


def _show(folder: Path, name: str | None, as_json: bool) -> None:
    from nngpt.reports.tables.runs import print_status, status_json
    from nngpt.store.folder import find_run

    with open_store(folder) as store:
        record = find_run(store, name)
        if as_json:
            print_json(status_json(store, record))
        else:
            print_status(store, record, console())
