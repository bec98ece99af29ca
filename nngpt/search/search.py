"""`nngpt search`: from a folder of images to a trained network, in a given time.

Networks of the portfolio and of the LLM train for one epoch each; the best third trains on three
times as long, and so on; the leader's recipe is tuned; the rest of the time is its final training.
Validation images choose everywhere; the test images are read once, at the end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import UserError
from nngpt.protocols import DatasetSource
from nngpt.records import Task
from nngpt.reports.progress import ConsoleProgress
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search import beginning, designs, entrants, ladder, tuning
from nngpt.search.first_rung import FirstRung, first_key
from nngpt.search.front import FINALISTS, fronts, ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import Standing, Trainer
from nngpt.search.plan import (
    FIRST,
    RUNGS,
    TUNING,
    Plan,
    final_threads,
    training_s,
    understood,
    writing_s,
)
from nngpt.search.portfolio import choose, choose_for, read_portfolio
from nngpt.search.projection import Projection
from nngpt.search.request import Request, with_data
from nngpt.search.result import Found, write_result
from nngpt.search.standings import best_so_far, in_final, nothing_trained, standings
from nngpt.search.surrogate import surrogate_recipe
from nngpt.store.lock import RunLock

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

_FILES_S = 12.0
"""Seconds to write the files of a network."""

_LOCK = ".lock"


def search(
    request: Request, progress: ConsoleProgress, finish: bool = False, fresh: bool = False
) -> Found:
    """Search a network, or resume the search; write the result's folder.

    Args:
        finish: write the best network so far, without more training.
        fresh: start over; delete the stages and weights of an earlier search of the folder.

    Raises: UserError if the request cannot be carried out, or no network trained.
    """
    if finish and fresh:
        raise UserError("--finish and --fresh exclude each other", hint="Give one of them")
    began = time.monotonic()
    beginning.check_folders(request)
    source = data_source(request.base)  # refuses wrong data before there is a folder
    request.folder.mkdir(parents=True, exist_ok=True)
    lock = RunLock(request.folder / _LOCK)
    try:
        if fresh:
            beginning.start_over(request.folder)
        return _resume(request, source, began, progress, finish)
    finally:
        lock.release()


def _resume(
    request: Request,
    source: DatasetSource,
    began: float,
    progress: ConsoleProgress,
    finish: bool,
) -> Found:
    """Do what the folder lacks of a search, all of a new one. Raises: UserError."""
    log, begun = progress.note, beginning.read_begun(request)
    if finish and not begun:
        raise nothing_trained(request)
    journal = Journal(request.folder, 60 * request.minutes, began)
    if journal.stages:
        log(f"The search resumes after {journal.spent / 60:.1f} min.")
    side = begun["side"] if begun else beginning.side_of(request, source, log)
    request = with_data(request, side)
    base = request.base
    source = data_source(base) if side else source
    splits, task = load_splits(base, source, log), make_task(base, source)
    if begun and begun["images"] != splits.digest:
        what = "the images have changed since the search began"
        raise UserError(what, where=request.data, hint="Start over with --fresh")
    with LocalExecutor(splits, base.evaluation, task) as executor:
        for line in understood(splits, executor.device):
            log(line)
        if begun:
            plan = beginning.stored_plan(begun)
            log("The plan stays as it was.")
        else:
            plan = beginning.new_plan(request, splits, executor, side)
            for line in plan.reasons:
                log(line)
        trainer = Trainer(executor, journal, request.seed, splits.train.count)
        if finish:
            front = best_so_far(request, journal)
            return write_result(request, trainer, executor, splits, front, log)
        leaders = in_final(request, journal)
        if not leaders:
            field = _first_rung(request, plan, trainer, executor, splits, progress)
            leaders = _climb(request, plan, trainer, field, splits, task, progress)
        package_s = len(leaders) * _package_s(trainer, leaders[0], splits)
        threads = final_threads(request, executor)
    alone = base.evaluation.model_copy(update={"workers": 1, "threads": threads})
    with LocalExecutor(splits, alone, task) as executor:
        trainer, finals = replace(trainer, executor=executor), list[Standing]()
        for number, leader in enumerate(leaders):
            seconds = (journal.left - package_s) / (len(leaders) - number)
            finals.append(ladder.finish(trainer, leader, seconds, plan.parts, log))
        front = fronts(finals, request.objectives)[0]
        return write_result(request, trainer, executor, splits, front, log)


def _first_rung(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    progress: ConsoleProgress,
) -> list[Standing]:
    """Train the first stage of all networks; return those that trained. Raises: UserError."""
    wanted = request.objectives, request.base.task.max_parameters
    seconds, pixels = training_s(request, splits, executor)
    choice = partial(choose, seconds=seconds, pixels=pixels)
    chosen = choose_for(*wanted, read_portfolio(), plan.candidates, choice)
    if entrants.write_script(request, chosen):
        names = ", ".join(one.name for one in chosen[:3])
        progress.note(f"Portfolio: what learns most in this time on such images: {names}, …")
    first = FirstRung(executor, trainer, plan.recipe, plan.first_s)
    journal = trainer.journal
    if all(first_key(one.network) == key for key, one in journal.stages.items()):  # else it climbs
        config = entrants.portfolio_config(request, plan)
        entrants.enter(config, first, progress, FIRST * journal.left)
        if plan.designs:
            seconds = writing_s(request, journal.left)
            designs.write_networks(request, plan, first, journal, progress, seconds)
    found = standings(request.folder, journal)
    if not found:
        hint = f"See why: nngpt cycle report --folder {request.folder}"
        raise UserError("no network trained", where=str(request.folder), hint=hint)
    return found


def _climb(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    field: Sequence[Standing],
    splits: Splits,
    task: Task,
    progress: ConsoleProgress,
) -> list[Standing]:
    """Halve the field and tune the leaders; return them."""
    log, journal, objectives = progress.note, trainer.journal, request.objectives
    most = FINALISTS if len(objectives) > 1 else 1
    left = journal.left - most * _package_s(trainer, ranked(field)[0], splits)
    if left <= 0:
        return best_so_far(request, journal)
    _, height, width = splits.shape
    machine = height * width, trainer.executor.workers
    projection = Projection.of(read_portfolio(), *machine, plan.seconds)
    field = ladder.climb(trainer, field, RUNGS * left, log, objectives, projection)
    # With one objective the most promising network, which need not be the most accurate yet.
    finalists = field[:1] if most == 1 else fronts(field, objectives)[0][:most]
    leaders = list[Standing]()
    for one in finalists:
        entrant, trials = one[0], plan.trials // len(finalists)
        advised = surrogate_recipe(entrant.candidate, task, entrant.recipe, splits.train.count)
        first = tuning.proposals(entrant.recipe, advised)
        each = TUNING * left / len(finalists)
        leaders.append(tuning.tune(trainer, one, first, trials, each, log))
    return leaders


def _package_s(trainer: Trainer, leader: Standing, splits: Splits) -> float:
    """Estimate the seconds that the files and the test need at the end.

    The network answers the test images twice, with and without its code.
    """
    count = 2 * splits.test.count + splits.validation.count
    return _FILES_S + count * trainer.forward_s(leader[1])
