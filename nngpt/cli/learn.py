"""`nngpt learn`: train an adapter on corpora (sft) or on rewards (rl), outside a run."""

from __future__ import annotations

import re
import shlex
import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from nngpt.cli.inputs import check_folder, load_config, make_folder, open_store
from nngpt.cli.options import AsJson, ConfigName, Fresh, Overrides, Sandbox, Seed, StartingAdapter
from nngpt.cli.output import console, logger, print_result
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.learners.sft import SFTJob
    from nngpt.records import Adapter, TrainingPair
    from nngpt.reports.progress import TuningProgress

app = typer.Typer(no_args_is_help=True, help="Tune the LLM, and compare tuned models.")

Out = Annotated[Path, Option(help="Folder in which the adapter's folder is created.")]
Name = Annotated[str, Option(help="Name of the adapter.")]
From = Annotated[
    str | None, Option(help="Configuration that supplies the settings (default: nngpt's own).")
]
ADAPTERS = Path("runs/adapters")
_Arms = Annotated[
    list[str],
    Option(
        help="Arm to compare: `base`, or NAME=FOLDER of an adapter, with settings of its own "
        "after commas, such as few=base,prompt.template=features; repeatable.",
        metavar="NAME[=ADAPTER][,KEY=VALUE…]",
    ),
]
_Corpora = Annotated[
    list[Path] | None,
    Option(
        help="JSONL corpus of the adapters, to measure copies and diversity against; repeatable."
    ),
]
_Check = Annotated[bool, Option("--check", help="Train each network for one step on noise only.")]
_Train = Annotated[
    bool, Option("--train/--no-train", help="Train each network for one epoch, or not at all.")
]
_Tasks = Annotated[list[str], Option(help="Data set to prompt for and train on; repeatable.")]


class Method(StrEnum):
    """Method of preference learning."""

    DPO = "dpo"
    KTO = "kto"


@app.command()
def sft(
    corpus: Annotated[list[Path], Option(help="JSONL file of training pairs; repeatable.")],
    dev: Annotated[list[Path], Option(help="JSONL file of held-out pairs; repeatable.")] = [],  # noqa: B006 (typer copies it)
    config: From = None,
    base: Annotated[
        str | None, Option(help="Base model (default: the adapter's or configuration's).")
    ] = None,
    from_adapter: Annotated[
        Path | None, Option(help="Adapter to continue from: its folder or its name.")
    ] = None,
    out: Out = ADAPTERS,
    name: Name = "sft",
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    as_json: AsJson = False,
) -> None:
    """Fine-tune the LLM on training pairs (a LoRA adapter); the same command resumes."""
    from nngpt.finetuning.learners.sft import SFTJob
    from nngpt.generation.models.adapters import find_adapter
    from nngpt.reports.progress import TuningProgress

    check_name(name)
    with stoppable(), TuningProgress(console(stderr=as_json)) as progress:
        parent = None if from_adapter is None else find_adapter(from_adapter)
        model = base or (parent.base if parent else None)
        start = {"learning.start": "last"} if parent else {}
        settings = load_config(config, overrides, seed=seed, **{"llm.model": model, **start})
        pairs, held_out = _pairs(corpus, "--corpus"), _pairs(dev, "--dev")
        job = SFTJob(pairs, name, out, parent, settings.seed, held_out)
        adapter = train_adapter(settings, job, progress)
    print_adapter(adapter, as_json, f"Use it: --set llm.adapter={adapter.path}")


@app.command()
def compare(
    config: ConfigName,
    arm: _Arms,
    out: Annotated[Path, Option(help="Folder of the comparison; an existing one resumes.")],
    samples: Annotated[int, Option(help="Answers of each arm to each prompt.", min=1)] = 100,
    task: _Tasks = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    corpus: _Corpora = None,
    check: _Check = False,
    train: _Train = True,
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Generate with the base model and adapters, judge the answers, and compare the arms."""
    from nngpt.cycle.comparison import Comparison
    from nngpt.finetuning.compare.corpus import read_corpus
    from nngpt.finetuning.compare.records import CHECK, TRAIN
    from nngpt.reports.comparison.files import notes, write_files
    from nngpt.reports.comparison.sheets import sheets
    from nngpt.reports.progress import ActivityBars
    from nngpt.reports.sheets import rich_table

    settings = load_config(config, overrides, seed=seed, sandbox=sandbox)
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)
    comparison = Comparison(settings, arm, task, log)
    learned = read_corpus(corpus or [], comparison.arms[0])
    how = CHECK if check else TRAIN if train else ""
    command = shlex.join(["nngpt", *sys.argv[1:]])
    make_folder(out, "--out")
    with stoppable():
        with ActivityBars(console(stderr=True)) as bars:
            comparison.run(out, samples, how, command, bars.show)
        figures, text, files = write_files(out, learned)
        if as_json:
            typer.echo(text)
        else:
            for sheet in sheets(figures):
                console().print(rich_table(sheet))
            for note in notes(figures):
                console().print(note, markup=False, soft_wrap=True)
        log(f"Written: {', '.join(map(str, files))}")


@app.command()
def rl(
    config: ConfigName,
    steps: Annotated[int | None, Option(help="Total number of steps.", min=1)] = None,
    from_adapter: StartingAdapter = None,
    out: Annotated[
        Path | None, Option(help="Folder of the training (default: runs/rl/NAME).")
    ] = None,
    name: Annotated[
        str | None, Option(help="Name of the adapter (default: the configuration's).")
    ] = None,
    seed: Seed = None,
    sandbox: Sandbox = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter with GRPO, rewarded for networks that train; the same command resumes."""
    given = {"rl.steps": steps, "llm.adapter": from_adapter, "name": name}
    settings = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    folder = out or settings.folder / "rl" / settings.name
    with stoppable():
        from nngpt.cycle.rl_training import check_rl, train_rl
        from nngpt.finetuning.rl.journal import Journal
        from nngpt.reports.progress import RLProgress
        from nngpt.reports.tables.rl import summary_json, totals_line, trends_table

        check_rl(settings)
        make_folder(folder, "--out")
        with RLProgress(console(stderr=as_json), settings.rl.steps) as shown:
            made = train_rl(settings, folder, fresh, shown)
    taken = Journal(folder).steps
    usage = f"Adapter {made.name}: --set llm.adapter={made.path}"
    parts = (trends_table(taken), totals_line(taken), usage)
    print_result(as_json, {**_facts(made, folder), **summary_json(taken)}, *parts)


@app.command()
def prefer(
    config: ConfigName,
    method: Annotated[
        Method, Option(help="dpo: pairs of answers to one prompt; kto: single answers.")
    ] = Method.DPO,
    run: Annotated[
        str | None, Option(help="Run that supplies the answers (default: the configuration's).")
    ] = None,
    from_adapter: StartingAdapter = None,
    out: Annotated[
        Path | None, Option(help="Folder of the training (default: runs/preference/NAME).")
    ] = None,
    name: Annotated[
        str | None, Option(help="Name of the adapter (default: configuration and method).")
    ] = None,
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter on a run's admitted and refused answers; the same command resumes."""
    from nngpt.finetuning.preferences import find_or_train, read_answers
    from nngpt.finetuning.trl_trainers import check_installed

    settings = load_config(config, overrides, seed=seed, **{"llm.adapter": from_adapter})
    called = name or f"{settings.name}-{method}"
    folder = out or settings.folder / "preference" / called
    with stoppable():
        check_installed()
        with open_store(settings.folder) as store:
            answers = read_answers(store, store.run(run or settings.name).id)
        check_folder(folder, "--out")
        log = logger(as_json)
        made = find_or_train(settings, method, answers, called, folder, fresh, log)
    facts = _facts(made, folder)
    facts |= {"examples": made.pairs, "loss_first": made.loss_first, "loss_last": made.loss_last}
    loss = f"loss {made.loss_first:.4f} → {made.loss_last:.4f}"
    where = f"--set llm.adapter={made.path}"
    print_result(as_json, facts, f"Adapter {made.name}: {made.pairs} examples, {loss}; {where}")


def _facts(made: Adapter, folder: Path) -> dict[str, Any]:
    return {"adapter": made.name, "path": made.path, "parent": made.parent, "folder": str(folder)}


def check_name(name: str) -> None:
    """Check that --name is a possible name of an adapter. Raises: UserError."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        hint = "Use letters, digits, dots, hyphens and underscores."
        raise UserError(f"{name!r} is not a plain name", where="--name", hint=hint)


def _pairs(files: list[Path], option: str) -> list[TrainingPair]:
    from nngpt.generation.pairs import chat_pairs

    return [pair for file in files for pair in chat_pairs(file, option)]


def train_adapter(settings: Config, job: SFTJob, progress: TuningProgress) -> Adapter:
    """Train and write the adapter of `nngpt learn sft` or `hpo tune` on the job's pairs."""
    from nngpt.finetuning.learners.sft import LoraLearner
    from nngpt.generation.llm.transformers import create

    check_folder(job.folder, "--out")
    llm = create(settings.llm)
    learner = LoraLearner(settings, llm)
    progress.note(f"{llm.facts}; {learner.facts}")
    return learner.tune(job, progress.point, progress.note)


def print_adapter(adapter: Adapter, as_json: bool, usage: str) -> None:
    """Print what an adapter was trained on, its losses, and how to use it."""
    from nngpt.finetuning.sft.curve import read_curve
    from nngpt.reports.tables.rl import adapter_json, adapter_lines

    curve = read_curve(Path(adapter.path))
    print_result(as_json, adapter_json(adapter, curve), *adapter_lines(adapter, curve), usage)
