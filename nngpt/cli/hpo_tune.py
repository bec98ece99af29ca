"""`nngpt hpo tune`: tune the LLM of the HPO engine `llm` on LEMUR's trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import check_folder, load_config
from nngpt.cli.learn_sft import ADAPTERS, From, Name, Out, check_name, print_adapter, train_adapter
from nngpt.cli.options import AsJson, Folder, Overrides, Seed
from nngpt.cli.output import console
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError


def tune(
    folder: Folder = Path("runs"),
    epochs: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Epochs after which trials were judged; repeat for more (default: 1, 5 and 50).",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of training pairs.")] = 1000,
    folds: Annotated[
        Path | None, typer.Option(help="Frozen folds of nngpt hpo bench, for --without-fold.")
    ] = None,
    without_fold: Annotated[
        int | None, typer.Option(min=0, help="Fold to leave out, for an unbiased benchmark.")
    ] = None,
    config: From = None,
    base: Annotated[
        str | None, typer.Option(help="Base model (default: the configuration's).")
    ] = None,
    out: Out = ADAPTERS,
    name: Name = "hpo",
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Tune an adapter for nngpt hpo predict --engine llm; repeat the command to resume."""
    from nngpt.finetuning.learners.sft import SFTJob
    from nngpt.prediction.hpo.tuning_pairs import history_pairs
    from nngpt.prediction.runs import read_history
    from nngpt.reports.progress import TuningProgress

    check_name(name)
    if (folds is None) != (without_fold is None):
        raise UserError("give --folds and --without-fold, or neither")
    settings = load_config(config, overrides, seed=seed, **{"llm.model": base})
    with stoppable(), TuningProgress(console(stderr=as_json)) as progress:
        history, horizons = read_history(folder), epochs or (1, 5, 50)
        pairs = history_pairs(history, horizons, limit, settings.seed, folds, without_fold)
        progress.note(f"{len(pairs):,} questions with answers from LEMUR's trials")
        check_folder(out, "--out")
        adapter = train_adapter(settings, SFTJob(pairs, name, out, None, settings.seed), progress)
    print_adapter(
        adapter, as_json, f"Use it: nngpt hpo predict --engine llm --adapter {adapter.path}"
    )
