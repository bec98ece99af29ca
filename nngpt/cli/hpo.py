"""`nngpt hpo`: use, train, tune and measure the engines that choose hyperparameters."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from nngpt import plugins
from nngpt.cli.inputs import load_config, make_folder
from nngpt.cli.learn import ADAPTERS, From, Name, Out, check_name, print_adapter, train_adapter
from nngpt.cli.options import (
    AsJson,
    Classes,
    ClassName,
    DataSet,
    Init,
    MirrorFolder,
    NetworkFile,
    Overrides,
    Root,
    Sandbox,
    Seed,
    Shape,
    engine_names,
)
from nngpt.cli.output import console, logger, print_notes, print_result
from nngpt.cli.predictor import log, read_shape
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError
from nngpt.files import write_file

if TYPE_CHECKING:
    from nngpt.prediction.hpo.proposal import HPOTask, Train

KIND = "HPO engine"

app = typer.Typer(no_args_is_help=True, help="Choose hyperparameters for a network.")

_Engine = Annotated[
    str,
    Option(
        help=f"HPO engine: {', '.join(plugins.names(KIND))}, or the dotted path of a module.",
        autocompletion=engine_names,
    ),
]
_TargetAccuracy = Annotated[
    float | None,
    Option(
        min=0,
        max=1,
        help="Accuracy wanted, 0…1: llm aims for it, surrogate tells if it is out of reach.",
    ),
]
_Epochs = Annotated[int, Option(min=1, help="Length of the training in epochs.")]
_Top = Annotated[int, Option(min=1, max=20, help="Number of different proposals.")]
_MaxBatch = Annotated[int, Option(min=1, max=4096, help="Largest batch size to propose.")]
_MaxSide = Annotated[int | None, Option(min=8, help="Largest image side to propose, in pixels.")]
_Surrogate = Annotated[
    Path | None,
    Option(help="File of the surrogate (default: the one that you trained, else the packaged)."),
]
_Adapter = Annotated[
    Path | None, Option(help="For --engine llm: folder of an adapter from nngpt hpo tune.")
]
_Budget = Annotated[
    int | None, Option(min=1, help="For --engine optuna: number of trainings (default: 8).")
]
_Run = Annotated[bool, Option("--run", help="Train the network with the first proposal.")]
_Config = Annotated[
    str | None, Option(help="Configuration of the LLM, images and limits (default: nngpt's own).")
]
_TuningFolds = Annotated[
    Path | None, Option(help="File of folds from nngpt hpo bench, for --without-fold.")
]
_WithoutFold = Annotated[
    int | None, Option(min=0, help="Number of the fold to leave out, for an unbiased benchmark.")
]
_TuningEpochs = Annotated[
    list[int] | None,
    Option(min=1, help="Epochs of the trials to learn from; repeatable (default: 1, 5 and 50)."),
]
_BenchFolds = Annotated[
    Path | None, Option(help="File of the cross-validation folds; written if missing.")
]
_BenchEpochs = Annotated[
    list[int] | None,
    Option(min=1, help="Epochs of the trials to test on; repeatable (default: 1 and 5)."),
]
_Fold = Annotated[int | None, Option(min=0, help="Number of the only fold to test.")]
_BenchAdapter = Annotated[
    Path | None, Option(help="With --fold: also test the LLM with this adapter, tuned without it.")
]
_BenchEngine = Annotated[
    list[str] | None,
    Option(help="Engine to test; repeatable (default: default, constant, surrogate and optuna)."),
]
_WithoutGrammar = Annotated[
    bool,
    Option(
        "--without-grammar",
        help="Also ask the LLM without a grammar, for the share of valid answers.",
    ),
]
_Evaluations = Annotated[
    list[int] | None,
    Option(min=1, help="Number of trials to try; repeatable (default: 1, 3 and 8)."),
]
_BenchLimit = Annotated[int | None, Option(min=1, help="Maximum number of pools to test.")]
_BenchOut = Annotated[
    Path | None, Option(help="JSONL file to write: each pool's accuracies and the engines' picks.")
]
_BenchConfig = Annotated[
    str | None, Option(help="Configuration of the LLM (default: nngpt's own).")
]


@app.command()
def train(
    folder: MirrorFolder = None,
    out: Annotated[
        Path | None, Option("--surrogate", help="File to write (default: in the cache).")
    ] = None,
    epochs: Annotated[
        list[int] | None,
        Option(min=1, help="Training length to propose for; repeatable (default: 1, 5, 50)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that proposes hyperparameters (the surrogate) on LEMUR's trials."""
    from nngpt.prediction.hpo import surrogate
    from nngpt.prediction.runs import read_history
    from nngpt.prediction.targets import epoch_count
    from nngpt.store.lemur.mirror import mirror_folder

    path = out or surrogate.default_path()
    make_folder(path.parent, "--surrogate")
    with stoppable("Stopped. Nothing was written."):
        log("reading LEMUR's trials")
        history = read_history(mirror_folder(folder))
        card = surrogate.train(history, path, log, epochs or surrogate.EPOCHS)
    trials = ", ".join(f"{n:,} after {epoch_count(int(e))}" for e, n in card["trials"].items())
    text = f"{path}: learned from trials ({trials}). Its quality: nngpt hpo bench"
    print_result(as_json, {"file": str(path), **card}, text)


@app.command()
def predict(
    file: NetworkFile,
    dataset: DataSet = None,
    root: Root = None,
    classes: Classes = None,
    shape: Shape = None,
    class_name: ClassName = None,
    init: Init = None,
    epochs: _Epochs = 1,
    top: _Top = 1,
    engine: _Engine = "surrogate",
    target_accuracy: _TargetAccuracy = None,
    max_batch: _MaxBatch = 256,
    max_side: _MaxSide = None,
    surrogate: _Surrogate = None,
    adapter: _Adapter = None,
    budget: _Budget = None,
    run: _Run = False,
    config: _Config = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Propose a network's hyperparameters, batch size and transform, as YAML."""
    from nngpt.prediction.data_description import describe_data
    from nngpt.prediction.hpo.proposing import make_task, propose
    from nngpt.prediction.network_files import read_tunable_network
    from nngpt.reports.tables.prediction import proposal_lines, proposals_json

    flags = {"surrogate": surrogate, "adapter": adapter, "budget": budget}
    known = getattr(plugins.options_model(KIND, engine), "model_fields", ())
    options = {name: flag for name, flag in flags.items() if flag is not None and name in known}
    network = read_tunable_network(file, class_name, init)
    given = {"seed": seed, "sandbox": sandbox, "evaluation.epochs": epochs}
    load = partial(load_config, config, ["prompt.template=full", *overrides], **given)
    settings = load()
    data = describe_data(dataset, root, classes, read_shape(shape))
    task = make_task(network, data, settings, target_accuracy, max_batch, max_side)
    images = {"task.dataset": data.name, "task.root": data.root}

    def training(purpose: str, task: HPOTask) -> AbstractContextManager[Train]:
        from nngpt.cycle.networks import open_training  # slow to import, seldom needed

        return open_training(partial(load, **images), logger(), purpose, task)

    with stoppable("Stopped."):
        proposals = propose(task, data, settings, training, engine, options, top)
        if run:
            with training("run", task) as train:
                proposals[0] = replace(proposals[0], trained=train(proposals[0]))
    print_result(as_json, proposals_json(proposals), *proposal_lines(proposals, task))
    if not as_json:
        notes = (note for one in proposals for note in one.notes)
        print_notes(dict.fromkeys([*network.notes, *notes]))


@app.command()
def tune(
    folder: MirrorFolder = None,
    epochs: _TuningEpochs = None,
    limit: Annotated[int, Option(min=1, help="Maximum number of training pairs.")] = 1000,
    folds: _TuningFolds = None,
    without_fold: _WithoutFold = None,
    config: From = None,
    base: Annotated[str | None, Option(help="Base model (default: the configuration's).")] = None,
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
    from nngpt.store.lemur.mirror import mirror_folder

    check_name(name)
    if (folds is None) != (without_fold is None):
        raise UserError("give --folds and --without-fold, or neither")
    settings = load_config(config, overrides, seed=seed, **{"llm.model": base})
    with stoppable(), TuningProgress(console(stderr=as_json)) as progress:
        history, horizons = read_history(mirror_folder(folder)), epochs or (1, 5, 50)
        pairs = history_pairs(history, horizons, limit, settings.seed, folds, without_fold)
        progress.note(f"{len(pairs):,} questions with answers from LEMUR's trials")
        adapter = train_adapter(settings, SFTJob(pairs, name, out, None, settings.seed), progress)
    usage = f"Use it: nngpt hpo predict --engine llm --adapter {adapter.path}"
    print_adapter(adapter, as_json, usage)


@app.command()
def bench(
    folder: MirrorFolder = None,
    folds: _BenchFolds = None,
    epochs: _BenchEpochs = None,
    evaluations: _Evaluations = None,
    fold: _Fold = None,
    limit: _BenchLimit = None,
    engine: _BenchEngine = None,
    adapter: _BenchAdapter = None,
    without_grammar: _WithoutGrammar = False,
    out: _BenchOut = None,
    config: _BenchConfig = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Compare HPO engines on recorded trials: accuracy lost against a network's best trial."""
    from nngpt.prediction.hpo import benchmark
    from nngpt.prediction.hpo.folds import read_or_make_folds
    from nngpt.prediction.hpo.proposal import EngineContext
    from nngpt.prediction.hpo.trial_scores import ONE_SHOT, open_engines
    from nngpt.prediction.runs import read_history
    from nngpt.reports.sheets import rich_table
    from nngpt.reports.tables.prediction import regret_sheet
    from nngpt.store.lemur.mirror import mirror_folder

    if fold is None and adapter is not None:
        raise UserError("--adapter needs --fold", hint="Name the fold that the adapter left out")
    names = dict.fromkeys(engine or (*ONE_SHOT, "optuna")) | ({"llm": None} if adapter else {})
    if without_grammar and "llm" not in names:
        raise UserError("--without-grammar needs --engine llm or --adapter")
    if out is not None:
        make_folder(out.parent, "--out")
    counts = sorted(set(evaluations or benchmark.EVALUATIONS))
    context = EngineContext(load_config(config, overrides))
    opened = open_engines(names, context, max(counts), adapter, without_grammar)
    with stoppable("Stopped."), opened as engines:
        history = read_history(mirror_folder(folder))
        frozen = read_or_make_folds(history, folds)
        horizons = tuple(epochs or (1, 5))
        questions = benchmark.bench(
            history, frozen, horizons, engines, log, fold, limit, max(counts)
        )
    if out is not None:
        write_file(out, benchmark.lines(questions))
    found = benchmark.regrets(questions, counts)
    facts: dict[str, Any] = {"folds": frozen.sha256, "regrets": [asdict(one) for one in found]}
    print_result(as_json, facts, rich_table(regret_sheet(found, frozen.sha256)))
