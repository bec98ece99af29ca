"""`nngpt learn compare`: compare adapters with the base model, with intervals."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from nngpt.cli.inputs import check_folder, load_config, make_folder
from nngpt.cli.options import AsJson, ConfigName, Overrides, Sandbox, Seed
from nngpt.cli.output import console
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from nngpt.config import Config

_OUT = "--out"
_Tasks = Annotated[list[str], Option(help="Data set to prompt for and train on; repeatable.")]


def compare(
    config: ConfigName,
    arm: Annotated[
        list[str],
        Option(
            help="Arm to compare: `base`, or NAME=FOLDER of an adapter, with settings of its own "
            "after commas, such as few=base,prompt.template=features; repeatable.",
            metavar="NAME[=ADAPTER][,KEY=VALUE…]",
        ),
    ],
    out: Annotated[Path, Option(help="Folder of the comparison; an existing one resumes.")],
    samples: Annotated[int, Option(help="Answers of each arm to each prompt.", min=1)] = 100,
    task: _Tasks = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    corpus: Annotated[
        list[Path] | None,
        Option(
            help="JSONL corpus of the adapters, to measure copies and diversity against; "
            "repeatable."
        ),
    ] = None,
    check: Annotated[
        bool, Option("--check", help="Train each network for one step on noise only.")
    ] = False,
    train: Annotated[
        bool,
        Option("--train/--no-train", help="Train each network for one epoch, or not at all."),
    ] = True,
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Generate with the base model and adapters, judge the answers, and compare the arms."""
    from nngpt.cycle.parts import open_executor
    from nngpt.finetuning.compare import arms as compared
    from nngpt.finetuning.compare.corpus import read_corpus
    from nngpt.finetuning.compare.records import CHECK, TRAIN
    from nngpt.finetuning.compare.session import Executors, run_session, source_of
    from nngpt.reports.comparison.files import notes, write_files
    from nngpt.reports.comparison.sheets import sheets
    from nngpt.reports.progress import ActivityBars
    from nngpt.reports.sheets import rich_table

    options = compared.parse_arms(arm)
    settings = _first_epoch(load_config(config, overrides, seed=seed, sandbox=sandbox))
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)
    sources = {name: source_of(settings, name) for name in dict.fromkeys(task)}
    arms = compared.make_arms(settings, options, list(sources.values()))
    learned = read_corpus(corpus or [], arms[0])
    check_folder(out, _OUT)
    tasks = {name: reader.task for name, reader in arms[0].readers.items()}
    executors = Executors(settings, tasks, sources, log, open_executor)
    how = CHECK if check else TRAIN if train else ""
    command = shlex.join(["nngpt", *sys.argv[1:]])
    make_folder(out, _OUT)
    with stoppable():
        with ActivityBars(console(stderr=True)) as bars:
            run_session(executors, arms, out, samples, how, command, bars.show)
        figures, text, files = write_files(out, learned)
        if as_json:
            typer.echo(text)
        else:
            for sheet in sheets(figures):
                console().print(rich_table(sheet))
            for note in notes(figures):
                console().print(note, markup=False, soft_wrap=True)
        log(f"Written: {', '.join(map(str, files))}")


def _first_epoch(settings: Config) -> Config:
    """Return the configuration with one epoch of training and no retraining."""
    evaluation = settings.evaluation.model_copy(update={"epochs": 1, "retrain": False})
    return settings.model_copy(update={"evaluation": evaluation})
