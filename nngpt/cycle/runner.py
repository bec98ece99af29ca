"""Start or resume the run of a configuration; refuse to resume with other settings."""

from __future__ import annotations

import os

from nngpt.config import Config, completed, describe_changes, identity_of
from nngpt.cycle.context import RunContext
from nngpt.cycle.forecast import find_times, probe
from nngpt.cycle.loop import Loop
from nngpt.cycle.meter import Energy, Meter, TimeLimit, TimeLimitReached
from nngpt.cycle.parts import assemble, check_same_images
from nngpt.cycle.tracking import Tracking, check_trackers
from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.protocols import Executor, LimitsTime, Log
from nngpt.reports.progress import ConsoleProgress
from nngpt.reports.text import plural
from nngpt.store import Lease, RunRecord, Store


def run_loop(
    config: Config,
    progress: ConsoleProgress,
    fresh: bool = False,
    probe_first: bool = False,
    minutes: float | None = None,
    limit: TimeLimit | None = None,
    executor: Executor | None = None,
) -> None:
    """Start or resume the run of a configuration, and run its loop.

    Args:
        fresh: archive the current run and start a new one.
        probe_first: measure the stages for the forecast, unless times are known.
        minutes: time limit; None for none.
        limit: time limit that another thread may end, instead of `minutes`.
        executor: trains the candidates; None for the configuration's.

    Raises: UserError if the run began with other settings, or its parts cannot be opened.
    """
    check_trackers(config.tracking)
    limit, meter = limit or TimeLimit.of_minutes(minutes), Meter(Energy())
    with assemble(config, progress.note, executor) as parts:
        config.folder.mkdir(parents=True, exist_ok=True)
        with Store.open(config.folder / DATABASE) as store:
            run = _current_run(store, config, fresh)
            if done := len(store.attempts(run.id)):
                progress.note(f"Run {run.id} resumes after {plural(done, 'network')}.")
            known = find_times(store, config, run)
            tracking = Tracking(store, run, config.tracking, progress.note)
            with store.lease(run.id) as lease, tracking:
                store.reopen_run(run.id)
                if done:
                    check_same_images(run, config, parts.images)
                lease.describe_images(parts.images.class_names, parts.images.digest)
                _limit_time(run, parts.executor, lease, progress.note)
                try:
                    times = None
                    if probe_first and not known:
                        times = probe(config, parts, progress.note, limit)
                    context = RunContext(config, parts, store, lease, progress, meter, limit)
                    Loop(context, times).run()
                except TimeLimitReached as reached:
                    progress.note(str(reached))


def _limit_time(run: RunRecord, executor: Executor, lease: Lease, log: Log) -> None:
    """Limit a runner's trainings as those of the run before, or as this machine's speed demands."""
    if isinstance(executor, LimitsTime):
        executor.limit_s = executor.limit_s or run.limit_s
        limit_s = executor.calibrate()
        lease.limit_time(limit_s)
        log(f"A training may use {limit_s:g} seconds of its own.")


def is_finished(config: Config) -> bool:
    """Return whether the run that a runner would resume has closed all its cycles.

    Raises: UserError if the run began with other settings.
    """
    database = config.folder / DATABASE
    if not os.access(database, os.F_OK):
        return False
    with Store.open(database, create=False) as store:
        current = store.current_run(config.name)
        if current is None:
            return False
        check_same_settings(current, config)
        cycles = range(1, config.cycles + 1)
        return current.status == "done" and all(store.cycle_closed(current.id, c) for c in cycles)


def check_same_settings(current: RunRecord, config: Config) -> None:
    """Refuse that a runner resumes a run with other settings. Raises: UserError."""
    began = identity_of(completed(current.config))
    changed = describe_changes(began, identity_of(config))
    if changed:
        raise UserError(
            f"run {current.id} {current.name!r} began with other settings: {changed}",
            where=str(config.folder / DATABASE),
            hint="Set them back, or begin anew with --fresh (the old run is kept).",
        )


def _current_run(store: Store, config: Config, fresh: bool) -> RunRecord:
    """Return the run to resume, or start one. Raises: UserError."""
    current = store.current_run(config.name)
    if current is not None and not fresh:
        check_same_settings(current, config)
        return current
    if current is not None:
        store.archive_run(current.id)
    dump = config.model_dump(mode="json")
    return store.start_run(config.name, dump, identity_of(config), config.seed)
