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

from nngpt.data.loading import data_source
from nngpt.errors import UserError
from nngpt.protocols import DatasetSource, Log
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search import beginning, designs, entrants, ladder, tuning
from nngpt.search.first_rung import FirstRung, first_key
from nngpt.search.front import FINALISTS, fronts, ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import Standing, Trainer
from nngpt.search.plan import (
    FIRST,
    TUNING,
    Plan,
    final_threads,
    training_s,
    understood,
    writing_s,
)
from nngpt.search.portfolio import choose, choose_for, read_portfolio
from nngpt.search.progress import SearchProgress
from nngpt.search.projection import Projection
from nngpt.search.request import Request
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
    request: Request, progress: SearchProgress, finish: bool = False, fresh: bool = False
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
    progress: SearchProgress,
    finish: bool,
) -> Found:
    """Do what the folder lacks of a search, all of a new one. Raises: UserError."""
    log, begun = progress.note, beginning.read_begun(request)
    if finish and not begun:
        raise nothing_trained(request)
    journal = Journal(request.folder, 60 * request.minutes, began)
    if journal.stages:
        spent = f"{journal.spent / 60:.1f} of {request.minutes:g} min"
        log(f"The search resumes: {spent} have passed.")
    request, splits, task = beginning.open_data(request, source, begun, log)
    evaluation = request.base.evaluation
    with LocalExecutor(splits, evaluation, task) as executor:
        for line in understood(request.data, splits, executor.device):
            log(line)
        plan = beginning.plan_of(request, splits, executor, begun, log)
        trainer = Trainer(executor, journal, request.seed, splits.train.count)
        if finish:
            front = best_so_far(request, journal)
            return write_result(request, trainer, executor, splits, front, log)
        leaders = in_final(request, journal)
        if not leaders:
            field = _first_rung(request, plan, trainer, executor, splits, progress)
            with progress.activity("  training"):
                leaders = _climb(request, plan, trainer, field, splits, task, log)
        threads = final_threads(request, executor)
    evaluation = evaluation.model_copy(update={"workers": 1, "threads": threads})
    with LocalExecutor(splits, evaluation, task) as executor, progress.activity("  training"):
        trainer = replace(trainer, executor=executor)
        front = _finish(request, plan, trainer, leaders, splits, log)
        return write_result(request, trainer, executor, splits, front, log)


def _first_rung(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    progress: SearchProgress,
) -> list[Standing]:
    """Train the first stage of all networks; return those that trained. Raises: UserError."""
    wanted = request.objectives, request.base.task.max_parameters
    seconds, pixels = training_s(request, splits, executor)
    choice = partial(choose, seconds=seconds, pixels=pixels)
    chosen = choose_for(*wanted, read_portfolio(), plan.candidates, choice)
    entrants.write_script(request, chosen)
    first = FirstRung(executor, trainer, plan.recipe, plan.first_s, _rates())
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
        hint = hint if journal.stages else "Repeat the command with more --minutes"
        raise UserError("no network trained", where=str(request.folder), hint=hint)
    return found


def _rates() -> dict[str, float | None]:
    """Return the rates of SGD of the portfolio's networks, by content hash."""
    return {one.network: one.rate for one in read_portfolio()}


def _climb(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    field: Sequence[Standing],
    splits: Splits,
    task: Task,
    log: Log,
) -> list[Standing]:
    """Halve the field and tune the leaders; return them."""
    journal, objectives = trainer.journal, request.objectives
    most = FINALISTS if len(objectives) > 1 else 1
    left = journal.left - most * _package_s(trainer, ranked(field)[0], splits)
    if left <= 0:
        return best_so_far(request, journal)
    _, height, width = splits.shape
    machine = height * width, trainer.executor.workers
    projection = Projection.of(read_portfolio(), *machine, plan.seconds)
    field = ladder.climb(trainer, field, plan.rungs * left, log, objectives, projection)
    # With one objective the most promising network, which need not be the most accurate yet.
    finalists = field[:1] if most == 1 else fronts(field, objectives)[0][:most]
    leaders, rates = list[Standing](), _rates()
    for one in finalists:
        entrant, trials = one[0], plan.trials // len(finalists)
        if rates.get(entrant.network):
            leaders.append(one)  # chosen in longer trainings than a trial has
            continue
        advised = surrogate_recipe(entrant.candidate, task, entrant.recipe, splits.train.count)
        first = tuning.proposals(entrant.recipe, advised)
        each = TUNING * left / len(finalists)
        leaders.append(tuning.tune(trainer, one, first, trials, each, log))
    return leaders


def _finish(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    leaders: Sequence[Standing],
    splits: Splits,
    log: Log,
) -> list[Standing]:
    """Train the leaders for the rest of the time; return their front."""
    package_s = len(leaders) * _package_s(trainer, leaders[0], splits)
    finals = list[Standing]()
    for number, leader in enumerate(leaders):
        seconds = (trainer.journal.left - package_s) / (len(leaders) - number)
        finals.append(ladder.finish(trainer, leader, seconds, plan.parts, log))
    return fronts(finals, request.objectives)[0]


def _package_s(trainer: Trainer, leader: Standing, splits: Splits) -> float:
    """Estimate the seconds that the files and the test need at the end.

    The network answers the test images twice, with and without its code.
    """
    count = 2 * splits.test.count + splits.validation.count
    return _FILES_S + count * trainer.forward_s(leader[1])
