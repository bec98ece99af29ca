"""How a search begins, and what it began with: the file search.json, so that it resumes alike."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nngpt import files
from nngpt.data.loading import data_source, load_splits, make_task
from nngpt.errors import UserError
from nngpt.files import DATABASE
from nngpt.protocols import DatasetSource, Log, ReadsImageFiles
from nngpt.records import Task
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.preconditions import has_cuda_driver
from nngpt.search import designs, entrants, llm_settings
from nngpt.search.journal import Journal
from nngpt.search.plan import CORES_OF_A_GPU, Plan, choose_side, make_plan, training_s
from nngpt.search.portfolio import promising, read_portfolio
from nngpt.search.recipe import Recipe
from nngpt.search.request import Request, with_data
from nngpt.search.speed import choose_format
from nngpt.store import Store

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

_FORMAT_MINUTES = 5.0
"""A search must be so long for formats to be measured first."""

_REQUEST = "search.json"


def check_folders(request: Request) -> None:
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


def read_begun(request: Request) -> dict[str, Any] | None:
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


def open_data(
    request: Request, source: DatasetSource, begun: Mapping[str, Any] | None, log: Log
) -> tuple[Request, Splits, Task]:
    """Return the request with the size of its images, and its data.

    Args:
        source: the data as asked for.

    Raises: UserError if the images have changed since the search began.
    """
    side = begun["side"] if begun else _side_of(request, source, log)
    request = with_data(request, side)
    source = data_source(request.base) if side else source
    splits = load_splits(request.base, source, log)
    if begun and begun["images"] != splits.digest:
        what = "the images have changed since the search began"
        raise UserError(what, where=request.data, hint="Start over with --fresh")
    return request, splits, make_task(request.base, source)


def plan_of(
    request: Request,
    splits: Splits,
    executor: LocalExecutor,
    begun: Mapping[str, Any] | None,
    log: Log,
) -> Plan:
    """Return the plan that the search began with; of a new search, make, tell and store it."""
    if begun:
        log("The plan stays as it was.")
        stored = dict(begun["plan"])
        recipe, reasons = Recipe(**stored.pop("recipe")), tuple(stored.pop("reasons"))
        return Plan(**stored, recipe=recipe, reasons=reasons)
    plan = _new_plan(request, splits, executor)
    for line in plan.reasons:
        log(line)
    size, asked = request.base.task.image_size, request.asked or request.base
    facts = {
        "request": request.identity(),
        "side": size if size != asked.task.image_size else None,
        "images": splits.digest,
        "plan": asdict(plan),
    }
    files.write_file(request.folder / _REQUEST, [json.dumps(facts, indent=1).encode()])
    return plan


def _side_of(request: Request, source: DatasetSource, log: Log) -> int | None:
    """Choose the side to which the images of a folder are resized; None for their own size."""
    task = request.base.task
    if task.image_size is not None or not isinstance(source, ReadsImageFiles):
        return None
    device, cores = request.base.evaluation.device, len(os.sched_getaffinity(0))
    if device != "cpu" and has_cuda_driver():
        cores = CORES_OF_A_GPU
    side = choose_side(source.usual_size, source.images, request.minutes, cores)
    if side:
        log(f"Images: {side}×{side} pixels, as much as the time allows (task.image_size)")
    return side


def _new_plan(request: Request, splits: Splits, executor: LocalExecutor) -> Plan:
    """Return the plan of a new search."""
    problem = "as you asked" if request.designs == 0 else ""
    problem = problem or llm_settings.problem(request.base)
    portfolio, most = read_portfolio(), request.base.task.max_parameters
    allowed = [one for one in portfolio if most is None or one.parameters <= most] or portfolio
    near = promising(allowed, *training_s(request, splits, executor))
    free = request.candidates or len(request.objectives) > 1
    count = len(portfolio if free else near)
    plan = make_plan(request, splits, count, executor.workers, problem)
    if request.minutes >= _FORMAT_MINUTES:
        candidate = entrants.candidate_of(near[0])
        count, seed = splits.train.count, request.seed
        recipe, reason = choose_format(executor, candidate, plan.recipe, count, seed)
        plan = replace(plan, recipe=recipe, reasons=(*plan.reasons, reason))
    return plan
