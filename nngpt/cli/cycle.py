"""`nngpt cycle`: run the loop and look at what happened."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.cycle_confirm import confirm
from nngpt.cli.cycle_export import export
from nngpt.cli.cycle_report import report
from nngpt.cli.cycle_watch import watch
from nngpt.cli.options import (
    AsJson,
    ConfigName,
    Folder,
    Overrides,
    Sandbox,
    Seed,
    check_folder,
    console,
    find_run,
    load_config,
    make_folder,
    open_store,
    print_json,
)
from nngpt.cli.stopping import stoppable
from nngpt.config import DATABASE
from nngpt.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.store import AttemptRecord, RunRecord, Store

app = typer.Typer(no_args_is_help=True, help="The loop: write, check, train, judge, learn.")
RunName = Annotated[str | None, typer.Argument(help="A run's number or name (default: newest).")]


@app.command()
def run(
    config: ConfigName,
    cycles: Annotated[int | None, typer.Option(help="How many cycles in all.", min=1)] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    fresh: Annotated[bool, typer.Option(help="Begin anew; the old run is kept.")] = False,
    probe: Annotated[bool, typer.Option(help="Measure a little first, for the forecast.")] = False,
    budget_minutes: Annotated[
        float | None, typer.Option(help="End after so many minutes, wherever it is.", min=0.1)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the loop, or carry on where it was."""
    settings = load_config(config, overrides, cycles=cycles, seed=seed, sandbox=sandbox)
    database = settings.folder / DATABASE
    with stoppable():
        if fresh or not _finished(settings, database):
            _run(settings, database, console(stderr=as_json), fresh, probe, budget_minutes)
        _tell(settings.folder, settings.name, as_json)


@app.command()
def forecast(
    config: ConfigName,
    cycles: Annotated[int | None, typer.Option(help="How many cycles in all.", min=1)] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """How long a run will take: from what was run before, else from a probe."""
    from nngpt.cycle.probe import foresee_from_here

    settings = load_config(config, overrides, cycles=cycles)
    with stoppable():
        expected, basis, left = foresee_from_here(settings, console(stderr=True).print)
    if as_json:
        print_json({"cycles": left, **asdict(expected), "basis": asdict(basis)})
    else:
        source = f"from {basis.source}"
        console().print(f"{left} cycles: {expected.line}, {source}", highlight=False)


@app.command()
def status(run: RunName = None, folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """How far a run is, cycle by cycle."""
    _tell(folder, run, as_json)


@app.command("list")
def list_runs(folder: Folder = Path("runs"), as_json: AsJson = False) -> None:
    """All runs of a folder."""
    from nngpt.reports.tables.console import runs_table

    with open_store(folder) as store:
        runs = store.runs()
        if as_json:
            print_json([asdict(r) for r in runs])
        else:
            console().print(runs_table(runs, store))


@app.command()
def show(
    attempt: Annotated[int, typer.Argument(help="The number behind # in the run's lines.")],
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """One attempt: code, verdicts, curve."""
    from nngpt.reports.attempts import attempt_report

    with open_store(folder) as store:
        record = store.attempt(attempt)
        blocks = store.question(record).blocks
        if as_json:
            print_json({**asdict(record), "blocks": [asdict(block) for block in blocks]})
        else:
            console().print(attempt_report(record, blocks))


for command in (watch, report, confirm, export):
    app.command()(command)


def _finished(settings: Config, database: Path) -> bool:
    """True if this name's current run has nothing left to do; checks nothing has changed."""
    from nngpt.store import Store

    if not os.access(database, os.F_OK):
        return False
    with Store.open(database, create=False) as store:
        current = store.current_run(settings.name)
        if current is None:
            return False
        _same_settings(current, settings)
        cycles = range(1, settings.cycles + 1)
        return current.status == "done" and all(store.cycle_closed(current.id, c) for c in cycles)


def _same_settings(current: RunRecord, settings: Config) -> None:
    """A run goes on only with the settings it began with. Raises: UserError."""
    from nngpt.config import completed, identity_of

    began = identity_of(completed(current.config))
    changed = _differences(began, settings.identity())
    if changed:
        raise UserError(
            f"run {current.id} {current.name!r} began with other settings: {', '.join(changed)}",
            where=str(settings.folder / DATABASE),
            hint="Set them back, or begin anew with --fresh (the old run is kept).",
        )


def _differences(old: object, new: object, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted({*old, *new})
        parts = (_differences(old.get(k), new.get(k), f"{path}.{k}" if path else k) for k in keys)
        return [difference for part in parts for difference in part]
    return [] if old == new else [f"{path} was {old}, is {new}"]


def _run(
    settings: Config,
    database: Path,
    out: Console,
    fresh: bool = False,
    measure: bool = False,
    minutes: float | None = None,
) -> None:
    from nngpt.cycle.loop import Loop
    from nngpt.cycle.parts import assemble
    from nngpt.cycle.probe import known_basis, probe
    from nngpt.cycle.time_limit import Budget, BudgetSpent
    from nngpt.reports.progress.run import ConsoleProgress
    from nngpt.store import Store

    check_folder(settings.folder, "--set folder=…")
    budget = Budget(None if minutes is None else 60 * minutes)
    with ConsoleProgress(out) as progress, assemble(settings, progress.note) as parts:
        make_folder(settings.folder, "--set folder=…")
        with Store.open(database) as store:
            run = _current_run(store, settings, fresh)
            if done := len(store.attempts(run.id)):
                progress.note(f"Run {run.id} carries on; {done} networks were written before.")
            known = known_basis(store, settings, run)
            with store.lease(run.id) as lease:
                store.reopen_run(run.id)
                try:
                    log, first = progress.note, measure and not known
                    probed = probe(settings, parts, log, budget) if first else None
                    Loop(settings, parts, store, progress, budget, probed).run(run, lease)
                except BudgetSpent:
                    progress.note(
                        f"The budget of {minutes:g} minutes is spent; what is recorded stays. "
                        "The same command carries on."
                    )


def _current_run(store: Store, settings: Config, fresh: bool) -> RunRecord:
    current = store.current_run(settings.name)
    if current is not None and not fresh:
        _same_settings(current, settings)
        return current
    if current is not None:
        store.archive_run(current.id)
    config = settings.model_dump(mode="json")
    return store.start_run(settings.name, config, settings.identity(), settings.seed)


def _tell(folder: Path, run: str | None, as_json: bool) -> None:
    """Print the run's story, as a table or as JSON."""
    from nngpt.records import Arm
    from nngpt.reports.tables.console import arms_table, story, summary_json

    with open_store(folder) as store:
        record = find_run(store, run)
        summaries = store.summary(record.id)
        if as_json:
            cycles = [summary_json(s) for s in summaries]
            arms = {arm: store.summary(record.id, arm) for arm in store.arms(record.id)}
            controls = {
                arm: [summary_json(s) for s in found]
                for arm, found in arms.items()
                if arm is not Arm.LOOP
            }
            head = {"run": record.id, "name": record.name, "status": record.status}
            head["ended"] = record.ended
            return print_json({**head, "cycles": cycles, "controls": controls})
        out = console()
        out.print(story(record, summaries, _validation_images(store, record)))
        if record.ended:
            out.print(f"Ended early: {record.ended}.", soft_wrap=True, markup=False)
        if len(store.arms(record.id)) > 1:
            out.print(arms_table(store, record))
        best = max(store.admitted(record.id), key=_accuracy, default=None)
        if best is not None:
            command = f"nngpt cycle show {best.id} --folder {folder}"
            out.print(f"Best network: {command}", soft_wrap=True, markup=False)
        return None


def _accuracy(attempt: AttemptRecord) -> float:
    return attempt.evaluation.accuracy if attempt.evaluation else 0.0


def _validation_images(store: Store, run: RunRecord) -> int:
    judged = (a.evaluation for a in store.attempts(run.id) if a.evaluation is not None)
    return max((e.epochs[-1].total for e in judged), default=0)
