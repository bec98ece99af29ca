"""`nngpt search`: from a folder of images to a trained network, in a given time.

Networks of the portfolio and of the LLM train for one epoch each; the best third trains on three
times as long, and so on; the leader's recipe is tuned; the rest of the time is its final training.
Validation images choose everywhere; the test images are read once, at the end.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt import files
from nngpt.config import Config, EvaluationConfig
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.protocols import DatasetSource, Log, ReadsImageFiles
from nngpt.records import Refusal, Task, derive_seed
from nngpt.reports.network_folder.contents import Contents, Front, Origin
from nngpt.reports.network_folder.folder import write_network_folder
from nngpt.reports.progress import ConsoleProgress
from nngpt.reports.sheets import Sheet
from nngpt.sandbox import tensors
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.preconditions import has_cuda_driver
from nngpt.search import designs, entrants, ladder, llm_settings, tuning
from nngpt.search.command import command_of
from nngpt.search.first_rung import FirstRung, first_key
from nngpt.search.front import FINALISTS, fronts, ranked
from nngpt.search.journal import Journal
from nngpt.search.ladder import Standing, Trainer
from nngpt.search.plan import (
    FIRST,
    RUNGS,
    TUNING,
    Plan,
    Request,
    choose_side,
    make_plan,
    understood,
    with_data,
    writing_s,
)
from nngpt.search.portfolio import TRAINED, choose, choose_for, promising, read_portfolio
from nngpt.search.projection import Projection
from nngpt.search.recipe import Recipe
from nngpt.search.speed import choose_format
from nngpt.search.surrogate import surrogate_recipe
from nngpt.statistics import percent_of
from nngpt.store import Store
from nngpt.store.lock import RunLock

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

_FILES_S = 12.0

_FORMAT_MINUTES = 5.0
"""A search must be so long for formats to be measured first."""

_CORES_OF_A_GPU = 100
"""Number of CPU cores that train as fast as a GPU, roughly."""

_REQUEST, _LOCK = "search.json", ".lock"


@dataclass(frozen=True)
class Found:
    """Result of a search.

    Attributes:
        title: the network.
        validation, test: (correct, total) predictions.
        facts: everything about the result's folder, for JSON.
    """

    title: str
    validation: tuple[int, int]
    test: tuple[int, int]
    facts: Mapping[str, Any]

    @property
    def front(self) -> Sequence[Mapping[str, Any]]:
        """The networks of the front with their folders below the result's, accuracies and costs.

        The most accurate, which is the result, is the first; with one objective there are none.
        """
        return tuple(self.facts.get("front", ()))


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
    _check_folders(request)
    source = data_source(request.base)  # refuses wrong data before there is a folder
    request.folder.mkdir(parents=True, exist_ok=True)
    lock = RunLock(request.folder / _LOCK)
    try:
        if fresh:
            start_over(request.folder)
        begun = _begun(request)
        journal = Journal(request.folder, 60 * request.minutes, began)
        return _resume(request, source, begun, journal, progress, finish)
    finally:
        lock.release()


def _resume(
    request: Request,
    source: DatasetSource,
    begun: Mapping[str, Any] | None,
    journal: Journal,
    progress: ConsoleProgress,
    finish: bool,
) -> Found:
    """Do what the journal lacks of a search. Raises: UserError."""
    log = progress.note
    if finish and not begun:
        raise _nothing_trained(request)
    if journal.stages:
        log(f"The search resumes after {journal.spent / 60:.1f} min.")
    side = begun["side"] if begun else _choose_side(request, source, log)
    request = with_data(request, side)
    base = request.base
    source = data_source(base) if side else source
    splits, task = load_splits(base, source, log), make_task(base, source)
    if begun and begun["images"] != splits.digest:
        what = "the images have changed since the search began"
        raise UserError(what, where=request.data, hint="Start over with --fresh")
    with _executor(base.evaluation, splits, task) as executor:
        for line in understood(splits, executor.device):
            log(line)
        plan = _plan(begun) if begun else _new_plan(request, splits, executor, side)
        for line in plan.reasons if not begun else ("The plan stays as it was.",):
            log(line)
        trainer = Trainer(executor, journal, request.seed, splits.train.count)
        if finish:
            front = _best_so_far(request, journal, plan)
            return _write(request, trainer, executor, splits, front, log)
        leaders = _in_final(request, journal, plan) or _climb(
            request, plan, trainer, executor, splits, task, progress
        )
        package_s = _package_s(trainer, leaders[0], splits)
    whole = base.evaluation.model_copy(update={"workers": 1, "threads": _cores(base, executor)})
    with _executor(whole, splits, task) as executor:
        trainer = replace(trainer, executor=executor)
        finals = []
        for number, leader in enumerate(leaders):
            seconds = (journal.left - package_s * len(leaders)) / (len(leaders) - number)
            finals.append(ladder.finish(trainer, leader, seconds, plan.parts, log))
        front = fronts(finals, request.objectives)[0]
        return _write(request, trainer, executor, splits, front, log)


def _choose_side(request: Request, source: DatasetSource, log: Log) -> int | None:
    """Choose the side to which the images of a folder are resized; None for their own size."""
    task = request.base.task
    if task.image_size is not None or not isinstance(source, ReadsImageFiles):
        return None
    device, cores = request.base.evaluation.device, len(os.sched_getaffinity(0))
    if device != "cpu" and has_cuda_driver():
        cores = _CORES_OF_A_GPU
    side = choose_side(source.usual_size, source.images, request.minutes, cores)
    if side:
        log(f"Images: {side}×{side} pixels, as much as the time allows (task.image_size)")
    return side


def _climb(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    task: Task,
    progress: ConsoleProgress,
) -> list[Standing]:
    """Train first stages, halve the field and tune the leaders; return them."""
    log, journal, objectives = progress.note, trainer.journal, request.objectives
    field = _first_rung(request, plan, trainer, executor, splits, progress)
    most = FINALISTS if len(objectives) > 1 else 1
    left = journal.left - most * _package_s(trainer, ranked(field)[0], splits)
    if left <= 0:
        return _best_so_far(request, journal, plan)
    _, height, width = splits.shape
    machine = height * width, executor.workers
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


def _in_final(request: Request, journal: Journal, plan: Plan) -> list[Standing]:
    """Return the best stages of the networks in final training; [] before any of it began.

    With several objectives, networks of the last rung's front wait for their turn. Once a result
    was written, only its networks have weights, and are in final training.
    """
    best = _best_stages(request, journal, plan)
    if not all(one.refused or journal.has_state(one.key) for one in journal.stages.values()):
        return best
    begun = [one for one in best if ladder.finals(journal, one[0].network)]
    if not begun or len(request.objectives) == 1:
        return begun
    field = [(one.network, one) for one in ladder.last_rung(journal)]
    waiting = [network for network, _ in fronts(field, request.objectives)[0][:FINALISTS]]
    return [one for one in best if one in begun or one[0].network in waiting]


def _best_so_far(request: Request, journal: Journal, plan: Plan) -> list[Standing]:
    """Return the front of all finished stages. Raises: UserError if there is none."""
    best = _best_stages(request, journal, plan)
    if not best:
        raise _nothing_trained(request)
    return fronts(best, request.objectives)[0][:FINALISTS]


def _nothing_trained(request: Request) -> UserError:
    hint = "Let it go on: repeat its command without --finish"
    return UserError("no network has trained yet", where=str(request.folder), hint=hint)


def _best_stages(request: Request, journal: Journal, plan: Plan) -> list[Standing]:
    """Return of each network the most accurate stage whose weights are still there."""
    found = entrants.standings(request, journal, plan.recipe, read_portfolio())
    by_network = {entrant.network: entrant for entrant, _ in found}
    best: dict[str, Standing] = {}
    for network, stage in ranked([(one.network, one) for one in journal.stages.values()]):
        if network in by_network and journal.has_state(stage.key):
            entrant = by_network[network]
            entrant = replace(entrant, recipe=stage.recipe)
            best.setdefault(network, (entrant, stage))
    return list(best.values())


def _package_s(trainer: Trainer, leader: Standing, splits: Splits) -> float:
    """Estimate the seconds that the files and the test need at the end.

    The network answers the test images twice, with and without its code.
    """
    count = 2 * splits.test.count + splits.validation.count
    return _FILES_S + count * trainer.forward_s(leader[1])


@contextmanager
def _executor(evaluation: EvaluationConfig, splits: Splits, task: Task) -> Iterator[LocalExecutor]:
    with closing(LocalExecutor(splits, evaluation, task)) as executor:
        yield executor


def _cores(base: Config, executor: LocalExecutor) -> int:
    """Return the threads of the final training: all that the workers had together."""
    return executor.workers * base.evaluation.threads if executor.device == "cpu" else 1


def _training(request: Request, splits: Splits, executor: LocalExecutor) -> tuple[float, int]:
    """Return for how many CPU seconds the result will train in all, and the pixels of an image."""
    cores = _cores(request.base, executor) if executor.device == "cpu" else _CORES_OF_A_GPU
    return 60 * request.minutes * TRAINED * cores, math.prod(splits.shape[1:])


def _begun(request: Request) -> dict[str, Any] | None:
    """Return what the search began with, None for a new one. Raises: UserError for another one."""
    path = request.folder / _REQUEST
    if not path.exists():
        return None
    begun = files.read_object(path)
    if begun.get("request") != request.identity():
        what = "another search is here, of other data or settings"
        hint = "Repeat its command, start over with --fresh, or choose another --folder"
        raise UserError(what, where=str(path), hint=hint)
    return begun


def _plan(begun: Mapping[str, Any]) -> Plan:
    """Return the plan that a search began with."""
    stored = dict(begun["plan"])
    recipe, reasons = Recipe(**stored.pop("recipe")), tuple(stored.pop("reasons"))
    return Plan(**stored, recipe=recipe, reasons=reasons)


def _new_plan(request: Request, splits: Splits, executor: LocalExecutor, side: int | None) -> Plan:
    """Return the plan of a new search, and store it."""
    problem = "as you asked" if request.designs == 0 else ""
    problem = problem or llm_settings.problem(request.base)
    portfolio, most = read_portfolio(), request.base.task.max_parameters
    allowed = [one for one in portfolio if most is None or one.parameters <= most] or portfolio
    near = promising(allowed, *_training(request, splits, executor))
    free = request.candidates or len(request.objectives) > 1
    count = len(portfolio if free else near)
    plan = make_plan(request, splits, count, executor.workers, problem)
    if request.minutes >= _FORMAT_MINUTES:
        candidate = entrants.candidate_of(near[0])
        count, seed = splits.train.count, request.seed
        recipe, reason = choose_format(executor, candidate, plan.recipe, count, seed)
        plan = replace(plan, recipe=recipe, reasons=(*plan.reasons, reason))
    facts = {"request": request.identity(), "side": side, "images": splits.digest}
    facts |= {"plan": asdict(plan)}
    lines = [json.dumps(facts, indent=1).encode()]
    files.write_file(request.folder / _REQUEST, lines)
    return plan


def _first_rung(
    request: Request,
    plan: Plan,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    progress: ConsoleProgress,
) -> list[Standing]:
    """Train the first stage of all networks; return those that trained. Raises: UserError."""
    portfolio = read_portfolio()
    wanted = request.objectives, request.base.task.max_parameters
    seconds, pixels = _training(request, splits, executor)
    choice = partial(choose, seconds=seconds, pixels=pixels)
    chosen = choose_for(*wanted, portfolio, plan.candidates, choice)
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
    found = entrants.standings(request, journal, plan.recipe, portfolio)
    if not found:
        hint = f"See why: nngpt cycle report --folder {request.folder}"
        raise UserError("no network trained", where=str(request.folder), hint=hint)
    return found


def _write(
    request: Request,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    front: Sequence[Standing],
    log: Log,
) -> Found:
    """Measure the networks of the front on the test images, and write the result's folder.

    Raises: UserError if none can be measured.
    """
    measured: dict[str, Contents] = {}
    for entrant, record in ranked(front):
        found = _measured(request, trainer, executor, splits, (entrant, record))
        if isinstance(found, Refusal):
            log(f"{entrant.title} cannot be measured: {found.reason}")
        else:
            measured[record.key] = found
    if not measured:
        raise UserError("no network can be measured", where=str(request.folder))
    best, *others = measured.values()
    if len(request.objectives) > 1:
        folders = {f"front/{_slug(one.origin.title)}": one for one in others}
        best = replace(best, front=Front(request.objectives, folders))
    facts = write_network_folder(request.out, best)
    for key in trainer.journal.stages.keys() - measured.keys():
        trainer.journal.forget(key)
    return Found(best.origin.title, best.package.validation, best.answers.judged, facts)


def _measured(
    request: Request,
    trainer: Trainer,
    executor: LocalExecutor,
    splits: Splits,
    standing: Standing,
) -> Contents | Refusal:
    """Measure a network by its files; it answers the test images."""
    entrant, record = standing
    candidate = replace(
        entrant.candidate, transform=entrant.recipe.transform, batch=entrant.recipe.batch
    )
    weights = tensors.part_of(trainer.journal.state(record.key), tensors.WEIGHTS)
    seed = derive_seed(request.seed, "search", entrant.network)
    package = executor.package(candidate, seed, weights, True)
    if isinstance(package, Refusal):
        return package
    epochs = record.images / splits.train.count
    origin = Origin(
        title=entrant.title,
        author=(entrant.author,),
        licence=entrant.licence or "yours",
        training=(
            f"{epochs:.1f} epochs in a search of {request.minutes:g} minutes",
            entrant.recipe.note,
        ),
        accuracies=(f"Validation: {percent_of(record.correct, record.total)}",),
        again=command_of(request),
        epochs=1,
    )
    return Contents(candidate, weights, package, splits, origin, leaderboard(trainer.journal))


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.")


def leaderboard(journal: Journal) -> Sheet:
    """Return all stages of a search, the most accurate first."""
    stages = sorted(journal.stages.values(), key=lambda one: -one.accuracy)
    return Sheet(
        "Stages of the search",
        ("stage", ">validation accuracy", ">parameters", "recipe"),
        tuple(
            (
                one.key.partition("-")[0] + " " + one.network[:8],
                percent_of(one.correct, one.total),
                f"{one.parameters:,}",
                one.recipe.note,
            )
            for one in stages
            if not one.refused
        ),
    )


def start_over(folder: Path) -> None:
    """Archive the runs of an earlier search, and delete its other files. Raises: UserError."""
    if (folder / DATABASE).exists():
        with Store.open(folder / DATABASE, create=False) as store:
            for run in store.runs():
                if entrants.RUNS.fullmatch(run.name) and run.status != "archived":
                    store.archive_run(run.id)
    designs.clear(folder)
    Journal(folder, 0.0, 0.0).clear()
    for name in (_REQUEST, entrants.SCRIPT):
        (folder / name).unlink(missing_ok=True)


def _check_folders(request: Request) -> None:
    """Refuse a result's folder with other files, and a damaged database. Raises: UserError."""
    out, database = request.out, request.folder / DATABASE
    if request.folder.resolve().is_relative_to(out.resolve()):
        what = "holds the search's own folder, and would be replaced"
        raise UserError(what, where=str(out), hint="Choose another folder with --out")
    if database.exists():
        Store.open(database, create=False).close()
    ours = (out / "card.md").is_file() and (out / "predict.py").is_file()
    if out.exists() and not ours and (not out.is_dir() or any(out.iterdir())):
        raise UserError("is not empty", where=str(out), hint="Choose another folder with --out")
