"""`nngpt rag bench`: how far the blocks of the index get."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import AsJson, Folder, Sandbox, console, load_config, print_json
from nngpt.cli.rag_index import open_index
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError, nearest

if TYPE_CHECKING:
    from nngpt.retrieval.grading import Train

_SETTINGS = (
    "prompt.template=full",
    "task.dataset=mnist",
    "task.train_limit=64",
    "task.validation_limit=64",
    "task.max_parameters=null",
    "evaluation.batch=16",
    "evaluation.threads=1",
    "evaluation.wall_s=60",
    'evaluation.hyperparameters={"lr": 0.01, "momentum": 0.9}',
)


def bench(
    source: Annotated[
        list[str] | None, typer.Option(help="Only blocks of this source; again for more.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many blocks, drawn at random.")
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(help="A file with a source:module.Class in each line.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Also import, build and train each in the sandbox.")
    ] = False,
    sandbox: Sandbox = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Extract blocks and grade them: compiles, closed; with --run imports, builds, runs."""
    from nngpt.reports.tables.retrieval import tally_table
    from nngpt.retrieval import catalogue, grading
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = open_index(folder)
    names = _targets(targets) if targets else [b.target for b in catalogue.blocks(database)]
    known = sorted({name.partition(":")[0] for name in names})
    for one in source or ():
        if one not in known:
            raise UserError("has no block in the index", where=one, hint=nearest(one, known))
    chosen = [name for name in names if not source or name.partition(":")[0] in source]
    if limit is not None and limit < len(chosen):
        chosen = sorted(random.Random(0).sample(chosen, limit))
    extractor = Extractor(Library(catalogue.sources(database)))
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True, style="dim")
    grades = []
    with stoppable("Stopped."), _training(run, sandbox) as train:
        for number, name in enumerate(chosen, 1):
            grades.append(grading.grade(extractor, name, train))
            if number % 100 == 0:
                log(f"{number:,} of {len(chosen):,}")
    if as_json:
        print_json([asdict(one) for one in grades])
    else:
        console().print(tally_table(list(grading.tallies(grades)), run))


def _targets(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(path)) from None
    return lines


@contextmanager
def _training(run: bool, sandbox: str | None) -> Iterator[Train | None]:
    """Trains a network's code for an epoch of 64 images in the sandbox, if wanted.

    The contract is not asked: what a library does is no candidate's mistake.
    """
    from nngpt.cycle.evaluator import open_evaluator
    from nngpt.records import Candidate, Evaluation, Refusal

    if not run:
        yield None
        return
    settings = load_config(None, list(_SETTINGS), sandbox=sandbox)
    values = settings.evaluation.hyperparameters
    with open_evaluator(settings, lambda _: None) as (_, executor):

        def train(code: str) -> Evaluation | Refusal:
            network = Candidate(code, code, "full", values, "norm", settings.evaluation.batch)
            return executor.evaluate(network, 0)

        yield train
