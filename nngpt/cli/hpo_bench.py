"""`nngpt hpo bench`: the accuracy that each HPO engine loses on recorded trials."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nngpt import plugins
from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Folder, Overrides
from nngpt.cli.output import console, print_json
from nngpt.cli.predictor import log
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError


def bench(
    folder: Folder = Path("runs"),
    folds: Annotated[
        Path | None, typer.Option(help="File of frozen folds; written if it does not exist.")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Epochs after which trials were judged (default: 1 and 5)."),
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="Test on this fold only.")] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="Test this adapter of the LLM as well, tuned without the fold."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of the fold's pools to test on.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="Configuration of the LLM (default: nngpt's own).")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Measure the accuracy that each engine loses when it picks one recorded trial of a pool."""
    from nngpt.prediction.hpo import benchmark
    from nngpt.prediction.hpo.folds import read_or_make_folds
    from nngpt.prediction.hpo.proposal import EngineContext
    from nngpt.prediction.runs import read_history
    from nngpt.reports.tables.hpo import regret_table

    if fold is None and (adapter is not None or limit is not None):
        raise UserError(
            "--adapter and --limit need --fold", hint="Name the fold that the adapter left out"
        )
    context = EngineContext(load_config(config, overrides))
    sample = None if fold is None else benchmark.FoldSample(fold, limit)
    answers: Counter[str] = Counter()
    with stoppable("Stopped."), ExitStack() as stack:
        engines = benchmark.standard_engines(context)
        if adapter is not None:
            options = {"adapter": adapter}
            llm = plugins.create("HPO engine", "llm", context, options=options)
            engines["llm"] = benchmark.NearestTrials(stack.enter_context(closing(llm)), answers)
        history = read_history(folder)
        frozen = read_or_make_folds(history, folds)
        found = benchmark.bench(history, frozen, tuple(epochs or (1, 5)), engines, log, sample)
    if as_json:
        counted = {"answers": dict(answers)} if adapter is not None else {}
        regrets = [asdict(one) for one in found]
        print_json({"folds": frozen.sha256, "regrets": regrets, **counted})
        return
    console().print(regret_table(found, frozen.sha256))
    if adapter is not None:
        typer.echo(f"{answers['asked'] - answers['invalid']} of {answers['asked']} answers valid")
