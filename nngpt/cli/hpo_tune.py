"""`nngpt hpo tune`: an adapter that has the LLM write settings, learned from LEMUR's trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.history import read_history
from nngpt.cli.learn_sft import ADAPTERS, From, Name, Out, check_name, tell, train_adapter
from nngpt.cli.options import AsJson, Folder, Overrides, Seed, check_folder, console, load_config
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.records import TrainingPair


def tune(
    folder: Folder = Path("runs"),
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Trials after so many epochs; again for more (default 1, 5, 50)."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many questions with answers.")] = 1000,
    folds: Annotated[
        Path | None, typer.Option(help="Frozen folds of nngpt hpo bench, for --without-fold.")
    ] = None,
    without_fold: Annotated[
        int | None, typer.Option(min=0, help="Learn nothing of this fold, so that it can judge.")
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
    """Tune the LLM for: nngpt hpo predict --engine llm. Repeat the command to carry on."""
    from nngpt.finetuning.learners.sft import Job
    from nngpt.reports.progress.finetuning import TuningProgress

    check_name(name)
    if (folds is None) != (without_fold is None):
        raise UserError("give --folds and --without-fold, or neither")
    settings = load_config(config, overrides, seed=seed, **{"llm.model": base})
    with stoppable(), TuningProgress(console(stderr=as_json)) as progress:
        pairs = _pairs(
            folder, tuple(epochs or (1, 5, 50)), limit, folds, without_fold, settings.seed
        )
        progress.log(f"{len(pairs):,} questions with answers from LEMUR's trials")
        check_folder(out, "--out")
        adapter = train_adapter(settings, Job(pairs, name, out, None, settings.seed), progress)
    tell(adapter, as_json, f"Use it: nngpt hpo predict --engine llm --adapter {adapter.path}")


def _pairs(
    folder: Path,
    epochs: tuple[int, ...],
    limit: int,
    folds: Path | None,
    without: int | None,
    seed: int,
) -> list[TrainingPair]:
    from nngpt.prediction import groups
    from nngpt.prediction.hpo import asking
    from nngpt.prediction.hpo import folds as freezing
    from nngpt.prediction.hpo.pools import pools

    history = read_history(folder)
    found = [pool for horizon in epochs for pool in pools(history, horizon, asking.LEARNED)]
    if folds is not None:
        frozen = freezing.read(folds)
        components = frozen.components
        found = [pool for pool in found if frozen.of(pool.network) != without]
    else:
        components = groups.components({p.network: history.codes[p.network] for p in found})
    pairs = asking.pairs(found, history.codes, components, limit, seed)
    if not pairs:
        raise UserError(
            "there is no network with several trials", hint="Import LEMUR: nngpt lemur pull"
        )
    return pairs
