"""`nngpt cycle confirm`: a sample of a run's candidates, trained fully, judged on the test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import (
    AsJson,
    Folder,
    Overrides,
    Sandbox,
    console,
    find_run,
    open_store,
    print_json,
)
from nngpt.cli.stopping import stoppable
from nngpt.errors import ConfigError, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.cycle.confirm import ConfirmationPlan
    from nngpt.store import AttemptRecord, Confirmation, RunRecord, Store

RunName = Annotated[str | None, typer.Argument(help="A run's number or name (default: newest).")]
Share = Annotated[float, typer.Option(help="Of the trained candidates.", min=0, max=1)]
Least = Annotated[int, typer.Option(help="Candidates at least, if there are so many.", min=1)]
Epochs = Annotated[int, typer.Option(help="Of each full training.", min=1)]
TrainLimit = Annotated[
    int | None,
    typer.Option(
        help="Training images, 0 for all (default: the run's).", min=0, show_default=False
    ),
]
ConfirmSeed = Annotated[
    int | None, typer.Option(help="Of sample and trainings (default: the run's).", min=0)
]


def confirm(
    run: RunName = None,
    share: Share = 0.05,
    epochs: Epochs = 20,
    at_least: Least = 10,
    train_limit: TrainLimit = None,
    seed: ConfirmSeed = None,
    folder: Folder = Path("runs"),
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Train a random sample fully, judge it on the TEST set, and say how well one epoch ranks."""
    from nngpt.cycle.confirm import ConfirmationPlan
    from nngpt.reports.analysis.sampling import stratified_sample

    with open_store(folder) as store, stoppable():
        record = find_run(store, run)
        settings = _settings(record, overrides, sandbox)
        limit = settings.task.train_limit if train_limit is None else train_limit or None
        scaled = not any(given.startswith("evaluation.wall_s=") for given in overrides)
        plan = ConfirmationPlan(settings, epochs, record.seed if seed is None else seed, limit, scaled)
        attempts = store.attempts(record.id, with_code=True)
        trained = [attempt for attempt in attempts if attempt.evaluation is not None]
        if not trained:
            raise UserError("no candidate of this run was trained", where=f"run {record.name!r}")
        sample = stratified_sample(trained, share, at_least, plan.seed)
        _train_the_rest(store, record, sample, plan, console(stderr=as_json))
        _tell(store, record, sample, plan, len(trained), as_json)


def _settings(record: RunRecord, overrides: Sequence[str], sandbox: str | None) -> Config:
    """The run's configuration with what may be changed. Raises: ConfigError."""
    from nngpt.config import changed, completed
    from nngpt.cycle.confirm import FIXED

    for given in overrides:
        section, _, key = given.partition("=")[0].strip().partition(".")
        if section != "evaluation" or key in FIXED:
            what = f"{section}.{key}" if key else section
            hint = "Use --epochs" if key == "epochs" else "Only other keys of evaluation can be set"
            raise ConfigError(f"{what!r} cannot be changed here", where="--set", hint=hint)
    extra = [f"evaluation.sandbox={sandbox}"] if sandbox else []
    return changed(completed(record.config), [*overrides, *extra], "--set")


def _train_the_rest(
    store: Store, record: RunRecord, sample: Sequence[AttemptRecord], plan: ConfirmationPlan, out: Console
) -> None:
    """Train those of the sample that were not trained by this protocol before."""
    from rich.text import Text

    from nngpt.cycle.confirm import confirm, open_confirmer
    from nngpt.reports.tables.confirm import confirmed_line

    def log(text: str) -> None:
        out.print(Text(text), soft_wrap=True)

    done = _confirmed(store, record, plan)
    left = [attempt for attempt in sample if attempt.id not in done]
    before = f", {len(sample) - len(left)} of them before" if len(left) < len(sample) else ""
    log(f"Run {record.id} {record.name!r}: {len(sample)} candidates are trained fully{before}.")
    if not left:
        return
    with (
        store.lease(record.id) as lease,
        open_confirmer(plan, log) as executor,
        _bar(out, len(sample), len(sample) - len(left)) as advance,
    ):
        for attempt, confirmation in confirm(left, executor, plan, lease):
            log(confirmed_line(attempt, confirmation))
            advance()


@contextmanager
def _bar(out: Console, total: int, done: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere; yields what moves it on by one."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not out.is_terminal
    with Progress(
        *columns, console=out, transient=True, disable=hidden, speed_estimate_period=3600
    ) as bars:
        bar = bars.add_task("full trainings", total=total, completed=done)
        yield lambda: bars.advance(bar)


def _confirmed(store: Store, record: RunRecord, plan: ConfirmationPlan) -> dict[int, Confirmation]:
    """What was trained by this plan's protocol, by attempt."""
    found = store.confirmations(record.id)
    return {c.attempt_id: c for c in found if c.protocol == plan.protocol}


def _tell(
    store: Store,
    record: RunRecord,
    sample: Sequence[AttemptRecord],
    plan: ConfirmationPlan,
    trained: int,
    as_json: bool,
) -> None:
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables.confirm import confirm_json, confirm_sheet

    done = _confirmed(store, record, plan)
    pairs = [(attempt, done[attempt.id]) for attempt in sample]
    if as_json:
        head: dict[str, Any] = {"run": record.id, "name": record.name, "protocol": plan.protocol}
        return print_json({**head, **confirm_json(pairs, trained)})
    title = f"Run {record.id}: {record.name}, {plan.epochs} epochs, on the test set"
    console().print(rich_table(confirm_sheet(pairs, trained, title)))
    return None
