"""`nngpt cycle confirm`: train a sample of candidates fully and judge it on the test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.inputs import find_run, open_store
from nngpt.cli.options import AsJson, Folder, Overrides, RunName, Sandbox
from nngpt.cli.output import logger, print_result, progress_bars
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.cycle.confirm import ConfirmationPlan
    from nngpt.protocols import Log
    from nngpt.store import AttemptRecord, RunRecord, Store

Share = Annotated[
    float, typer.Option(help="Share of the trained candidates to confirm.", min=0, max=1)
]
AtLeast = Annotated[int, typer.Option(help="Minimum sample size.", min=1)]
Epochs = Annotated[int, typer.Option(help="Epochs of each full training.", min=1)]
TrainLimit = Annotated[
    int | None,
    typer.Option(
        help="Number of training images, 0 for all (default: as in the run).",
        min=0,
        show_default=False,
    ),
]
ConfirmSeed = Annotated[
    int | None,
    typer.Option(help="Seed of the sample and the trainings (default: the run's).", min=0),
]


def confirm(
    run: RunName = None,
    share: Share = 0.05,
    epochs: Epochs = 20,
    at_least: AtLeast = 10,
    train_limit: TrainLimit = None,
    seed: ConfirmSeed = None,
    folder: Folder = Path("runs"),
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train a sample of a run for many epochs, and compare its test accuracy with epoch 1."""
    from nngpt.cycle.confirm import ConfirmationPlan, confirmation_config
    from nngpt.reports.analysis.full_training import stratified_sample

    with open_store(folder) as store, stoppable():
        record = find_run(store, run)
        settings = confirmation_config(record, overrides, sandbox)
        limit = settings.task.train_limit if train_limit is None else train_limit or None
        scaled = not any(given.startswith("evaluation.wall_s=") for given in overrides)
        chosen_seed = record.seed if seed is None else seed
        plan = ConfirmationPlan(settings, epochs, chosen_seed, limit, scaled)
        attempts = store.attempts(record.id, with_code=True)
        trained = [attempt for attempt in attempts if attempt.evaluation is not None]
        if not trained:
            raise UserError("no candidate of this run was trained", where=f"run {record.name!r}")
        sample = stratified_sample(trained, share, at_least, plan.seed)
        _train_missing(store, record, sample, plan, logger(as_json))
        _show(store, record, sample, plan, len(trained), as_json)


def _train_missing(
    store: Store,
    record: RunRecord,
    sample: Sequence[AttemptRecord],
    plan: ConfirmationPlan,
    log: Log,
) -> None:
    """Train the candidates of the sample that this protocol has not trained yet."""
    from nngpt.cycle.confirm import confirm, open_confirmer, stored_confirmations
    from nngpt.reports.tables.confirm import confirmed_line
    from nngpt.reports.text import plural

    done = stored_confirmations(store, record, plan)
    left = [attempt for attempt in sample if attempt.id not in done]
    before = len(sample) - len(left)
    earlier = f" ({before} trained earlier)" if before else ""
    log(
        f"Run {record.id} {record.name!r}: "
        f"full training of {plural(len(sample), 'candidate')}{earlier}."
    )
    if not left:
        return
    with (
        store.lease(record.id) as lease,
        open_confirmer(plan, log) as executor,
        progress_bars() as draw,
    ):
        draw("full trainings", before, len(sample))
        for done_now, (attempt, confirmation) in enumerate(confirm(left, executor, plan, lease), 1):
            log(confirmed_line(attempt, confirmation))
            draw("full trainings", before + done_now, len(sample))


def _show(
    store: Store,
    record: RunRecord,
    sample: Sequence[AttemptRecord],
    plan: ConfirmationPlan,
    trained: int,
    as_json: bool,
) -> None:
    from nngpt.cycle.confirm import stored_confirmations
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables.confirm import confirm_json, confirm_sheet
    from nngpt.reports.text import plural

    done = stored_confirmations(store, record, plan)
    pairs = [(attempt, done[attempt.id]) for attempt in sample]
    head: dict[str, Any] = {"run": record.id, "name": record.name, "protocol": plan.protocol}
    epochs = plural(plan.epochs, "epoch")
    title = f"Run {record.id}: {record.name}, {epochs}, on the test set"
    table = rich_table(confirm_sheet(pairs, trained, title))
    print_result(as_json, {**head, **confirm_json(pairs, trained)}, table)
