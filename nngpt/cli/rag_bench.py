"""`nngpt rag bench`: grade how far indexed blocks get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Folder, Sandbox
from nngpt.cli.output import logger, print_result
from nngpt.cli.stopping import stoppable

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
        list[str], typer.Option(help="Grade only blocks of this library; may be repeated.")
    ] = [],  # noqa: B006 (typer copies it)
    limit: Annotated[
        int | None, typer.Option(min=1, help="Grade a random sample of this many blocks.")
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(help="File with one library:module.Class per line.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Also import, build and train each block in the sandbox.")
    ] = False,
    sandbox: Sandbox = None,
    folder: Folder = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Extract blocks and count how many compile and define all names; with --run, how many run."""
    from nngpt.reports.tables.retrieval import tally_table
    from nngpt.retrieval import catalogue, grading
    from nngpt.retrieval.extractor import Extractor
    from nngpt.retrieval.library import Library

    database = catalogue.open_index(folder)
    indexed = (block.target for block in catalogue.blocks(database))
    names = grading.read_targets(targets) if targets else list(indexed)
    chosen = grading.choose_targets(names, source, limit)
    extractor = Extractor(Library(catalogue.sources(database)))
    log = logger(style="dim")
    grades = []
    with stoppable("Stopped."), _training(run, sandbox) as train:
        for number, name in enumerate(chosen, 1):
            grades.append(grading.grade(extractor, name, train))
            if number % 100 == 0:
                log(f"{number:,} of {len(chosen):,}")
    table = tally_table(list(grading.tallies(grades)), run)
    print_result(as_json, [asdict(one) for one in grades], table)


@contextmanager
def _training(run: bool, sandbox: str | None) -> Iterator[Train | None]:
    """Yield a function that trains a network for one epoch on 64 images, or None without `run`.

    The contract is not checked, because it does not apply to library code.
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
