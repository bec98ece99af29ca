"""`nngpt learn rl`: train an adapter with GRPO, on rewards of real executions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.inputs import load_config, make_folder
from nngpt.cli.options import AsJson, ConfigName, Fresh, Overrides, Sandbox, Seed, StartingAdapter
from nngpt.cli.output import console, print_result
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from nngpt.records import Adapter


def rl(
    config: ConfigName,
    steps: Annotated[int | None, typer.Option(help="Total number of steps.", min=1)] = None,
    from_adapter: StartingAdapter = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (default: runs/rl/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the adapter (default: the configuration's).")
    ] = None,
    seed: Seed = None,
    sandbox: Sandbox = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter with GRPO, rewarded for networks that train; the same command resumes."""
    adapter = str(from_adapter) if from_adapter else None
    given = {"rl.steps": steps, "llm.adapter": adapter, "name": name}
    settings = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    folder = out or settings.folder / "rl" / settings.name
    with stoppable():
        from nngpt.cycle.rl_training import check_rl, train_rl
        from nngpt.reports.progress import RLProgress

        check_rl(settings)
        make_folder(folder, "--out")
        with RLProgress(console(stderr=as_json), settings.rl.steps) as shown:
            made = train_rl(settings, folder, fresh, shown)
        _print_result(folder, made, as_json)


def _print_result(folder: Path, adapter: Adapter, as_json: bool) -> None:
    """Print the trends of the rewards, and the adapter's path."""
    from nngpt.finetuning.rl.journal import Journal
    from nngpt.reports.tables.rl import facts, summary_json, trends_table

    steps = Journal(folder).steps
    made = {"adapter": adapter.name, "path": adapter.path, "parent": adapter.parent}
    print_result(
        as_json,
        {**made, "folder": str(folder), **summary_json(steps)},
        trends_table(steps),
        facts(steps),
        f"Adapter {adapter.name}: --set llm.adapter={adapter.path}",
    )
