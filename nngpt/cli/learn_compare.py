"""`nngpt learn compare`: what did learning change? Arms side by side, with intervals."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli import compare_arms
from nngpt.cli.options import (
    AsJson,
    ConfigName,
    Overrides,
    Sandbox,
    Seed,
    check_folder,
    console,
    load_config,
    make_folder,
)
from nngpt.cli.stopping import stoppable
from nngpt.protocols import Log

if TYPE_CHECKING:
    from nngpt.cli.compare_parts import Executors
    from nngpt.config import Config
    from nngpt.finetuning.compare.corpus import Corpus
    from nngpt.finetuning.compare.generation import Progress
    from nngpt.finetuning.compare.records import Arm
    from nngpt.finetuning.compare.samples import Samples

_OUT = "--out"


def compare(
    config: ConfigName,
    arm: Annotated[
        list[str],
        typer.Option(
            help="Who writes: `base`, or NAME=FOLDER of an adapter; then perhaps settings of its "
            "own, such as few=base,prompt.template=features.",
            metavar=compare_arms.SYNTAX,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the comparison; one there is carried on.")],
    samples: Annotated[int, typer.Option(help="Answers of each arm to each prompt.", min=1)] = 100,
    task: Annotated[
        list[str], typer.Option(help="A data set to ask for and train on; again for more.")
    ] = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    corpus: Annotated[
        list[Path] | None,
        typer.Option(help="JSONL that the adapters learned: copies, diversity; again for more."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="One training step on noise of every shape; no data set."),
    ] = False,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train for an epoch, or run nothing at all.")
    ] = True,
    overrides: Overrides = [],  # noqa: B006
    seed: Seed = None,
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Let the frozen base and adapters write, judge what they wrote, and compare."""
    from nngpt.cli.compare_parts import Executors, source_of
    from nngpt.finetuning.compare.corpus import read_corpus
    from nngpt.finetuning.compare.records import CHECK, TRAIN

    given = compare_arms.options(arm)
    settings = _settings(config, overrides, seed=seed, sandbox=sandbox)
    log = partial(console(stderr=True).print, markup=False, soft_wrap=True)
    sources = {name: source_of(settings, name) for name in dict.fromkeys(task)}
    arms = compare_arms.make_arms(settings, given, list(sources.values()))
    learned = read_corpus(corpus or [], arms[0])
    check_folder(out, _OUT)
    tasks = {name: reader.task for name, reader in arms[0].readers.items()}
    executors = Executors(settings, tasks, sources, log)
    with stoppable():
        _run(executors, arms, out, samples, CHECK if check else TRAIN if train else "")
        _tell(out, learned, as_json, log)


def _settings(name: str, overrides: list[str], **given: int | str | None) -> Config:
    """The configuration; accuracies are those of the first epoch, whatever it says."""
    settings = load_config(name, overrides, **given)
    evaluation = settings.evaluation.model_copy(update={"epochs": 1, "retrain": False})
    return settings.model_copy(update={"evaluation": evaluation})


def _run(executors: Executors, arms: Sequence[Arm], out: Path, wanted: int, how: str) -> None:
    """Write and judge what is missing in the folder."""
    from nngpt.cli.compare_parts import progress
    from nngpt.finetuning.compare.generation import unwritten
    from nngpt.finetuning.compare.judging import judge
    from nngpt.finetuning.compare.machine import machine, now
    from nngpt.finetuning.compare.records import CHECK, Session
    from nngpt.finetuning.compare.samples import Samples
    from nngpt.records import derive_seed

    settings = executors.settings
    command = shlex.join(["nngpt", *sys.argv[1:]])
    make_folder(out, _OUT)
    with Samples(out) as record, progress() as tell:
        record.agree(compare_arms.shared(settings), [arm.facts for arm in arms])
        prompts = {arm.name: {a.key: a.tasks for a in arm.asked} for arm in arms}
        tasks = tuple(executors.tasks)
        record.append([Session(now(), command, wanted, how, tasks, prompts, machine())])
        if unwritten(record, arms, wanted):
            _write(executors, record, arms, wanted, tell)
        if how:
            opened = executors.noise if how == CHECK else executors.images
            seeds = partial(derive_seed, settings.seed)
            judge(record, arms, how, tasks, opened, wanted, seeds, tell)


def _write(
    executors: Executors, record: Samples, arms: Sequence[Arm], wanted: int, tell: Progress
) -> None:
    from nngpt import plugins
    from nngpt.finetuning.compare.generation import write
    from nngpt.records import derive_seed

    settings = executors.settings
    config = settings.llm
    made = plugins.create("LLM backend", config.backend, config, options=config.options)
    with closing(made) as llm:
        executors.log(f"Writing: {llm.facts}, {arms[0].mode} mode, {llm.batch_size} at a time")
        write(record, arms, llm, wanted, partial(derive_seed, settings.seed), tell)


def _tell(out: Path, corpus: Corpus | None, as_json: bool, log: Log) -> None:
    """Print the figures, and write them beside the record."""
    from nngpt.finetuning.compare.samples import read
    from nngpt.reports.comparison.page import page
    from nngpt.reports.comparison.sheets import sheets
    from nngpt.reports.comparison.summary import summarise
    from nngpt.reports.comparison.text import everything, markdown, notes
    from nngpt.reports.sheets import rich_table

    found = summarise(read(out), corpus)
    as_text = json.dumps(everything(found), indent=1, allow_nan=False)
    texts = {"json": as_text, "md": markdown(found), "html": page(found)}
    for kind, text in texts.items():
        draft = out / f".comparison.{kind}.part"
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
        draft.rename(out / f"comparison.{kind}")
    if as_json:
        typer.echo(as_text)
    else:
        for sheet in sheets(found):
            console().print(rich_table(sheet))
        for note in notes(found):
            console().print(note, markup=False, soft_wrap=True)
    log(f"Written: {', '.join(str(out / f'comparison.{kind}') for kind in texts)}")
