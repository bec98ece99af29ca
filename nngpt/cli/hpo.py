"""`nngpt hpo`: train, tune and measure the engines that choose hyperparameters."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt import plugins
from nngpt.cli import hpo_predict
from nngpt.cli.inputs import check_folder, load_config, make_folder
from nngpt.cli.learn import ADAPTERS, From, Name, Out, check_name, print_adapter, train_adapter
from nngpt.cli.options import AsJson, MirrorFolder, Overrides, Seed
from nngpt.cli.output import console, print_result
from nngpt.cli.predictor import log
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(no_args_is_help=True, help="Choose hyperparameters for a network.")


@app.command()
def train(
    folder: MirrorFolder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--surrogate", help="File to write (default: in the cache).")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Training length to propose for; repeatable (default: 1, 5, 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that proposes hyperparameters (the surrogate) on LEMUR's trials."""
    from nngpt.prediction.hpo import surrogate
    from nngpt.prediction.runs import read_history
    from nngpt.prediction.targets import epoch_count

    path = out or surrogate.default_path()
    make_folder(path.parent, "--surrogate")
    with stoppable("Stopped. Nothing was written."):
        card = surrogate.train(read_history(folder), path, log, epochs or surrogate.EPOCHS)
    trials = ", ".join(f"{n:,} after {epoch_count(int(e))}" for e, n in card["trials"].items())
    text = f"{path}: learned from trials ({trials}). Its quality: nngpt hpo bench"
    print_result(as_json, {"file": str(path), **card}, text)


app.command("predict")(hpo_predict.predict)


@app.command()
def tune(
    folder: MirrorFolder = Path("runs"),
    epochs: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Epochs of the trials to learn from; repeatable (default: 1, 5 and 50).",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of training pairs.")] = 1000,
    folds: Annotated[
        Path | None, typer.Option(help="File of folds from nngpt hpo bench, for --without-fold.")
    ] = None,
    without_fold: Annotated[
        int | None,
        typer.Option(min=0, help="Number of the fold to leave out, for an unbiased benchmark."),
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
    """Fine-tune the LLM for nngpt hpo predict --engine llm; the same command resumes."""
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
    usage = f"Use it: nngpt hpo predict --engine llm --adapter {adapter.path}"
    print_adapter(adapter, as_json, usage)


@app.command()
def bench(
    folder: MirrorFolder = Path("runs"),
    folds: Annotated[
        Path | None, typer.Option(help="File of the cross-validation folds; written if missing.")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Epochs of the trials to test on; repeatable (default: 1 and 5)."),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Number of the only fold to test.")
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="With --fold: also test this adapter, tuned without it."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="With --fold: maximum number of networks to test."),
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="Configuration of the LLM (default: nngpt's own).")
    ] = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Compare HPO engines on recorded trials: accuracy lost against a network's best trial."""
    from nngpt.prediction.hpo import benchmark
    from nngpt.prediction.hpo.folds import read_or_make_folds
    from nngpt.prediction.hpo.proposal import EngineContext
    from nngpt.prediction.runs import read_history
    from nngpt.reports.tables.prediction import regret_table

    if fold is None and (adapter is not None or limit is not None):
        raise UserError(
            "--adapter and --limit need --fold", hint="Name the fold that the adapter left out"
        )
    context = EngineContext(load_config(config, overrides))
    answers: Counter[str] = Counter()
    with stoppable("Stopped."), ExitStack() as stack:
        engines = dict(benchmark.ENGINES)
        if adapter is not None:
            options = {"adapter": adapter}
            llm = plugins.create("HPO engine", "llm", context, options=options)
            stack.enter_context(closing(llm))
            engines["llm"] = partial(benchmark.proposal_scores, engine=llm, answers=answers)
        history = read_history(folder)
        frozen = read_or_make_folds(history, folds)
        horizons = tuple(epochs or (1, 5))
        found = benchmark.bench(history, frozen, horizons, engines, log, fold, limit)
    facts: dict[str, Any] = {"folds": frozen.sha256, "regrets": [asdict(one) for one in found]}
    parts: list[RenderableType] = [regret_table(found, frozen.sha256)]
    if adapter is not None:
        facts["answers"] = dict(answers)
        valid = answers["asked"] - answers["invalid"]
        parts.append(f"{valid} of {answers['asked']} answers valid")
    print_result(as_json, facts, *parts)
