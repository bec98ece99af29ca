"""`nngpt corpus`: training pairs made from the LEMUR mirror."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import AsJson, Folder, console, load_config, open_store
from nngpt.config import DATABASE
from nngpt.errors import StoreError, UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.corpus import BuildCheck, Progress, Recorded, Writer
    from nngpt.records import Task

app = typer.Typer(no_args_is_help=True, help="Training pairs from the LEMUR mirror.")

_FILL = "Fill the mirror first: nngpt lemur pull"


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="A new folder for the corpus.")],
    folder: Folder = Path("runs"),
    task: Annotated[
        list[str], typer.Option(help="A data set to ask for; give it again for more.")
    ] = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    prompt: Annotated[
        str | None, typer.Option(help="Prompt template (default: the configuration's).")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="The run it is for: prompt, limits, hyperparameters.")
    ] = None,
    levels: Annotated[str, typer.Option(help="How to compare, cheapest first.")] = "exact,lexical",
    threshold: Annotated[float, typer.Option(help="Alike from this Jaccard similarity on.")] = 0.9,
    per_family: Annotated[int | None, typer.Option(help="Keep at most this many of each.")] = None,
    best_on: Annotated[
        str | None, typer.Option(help="Accuracy: the best on this data set of LEMUR's.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Leave out networks that are worse or of unknown accuracy.")
    ] = None,
    trained_only: Annotated[
        bool, typer.Option("--trained-only", help="Leave out networks of unknown accuracy.")
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="Also take what runs in this folder wrote.")
    ] = False,
    max_chars: Annotated[
        int | None, typer.Option(help="Longest answer (default: what the run can write).", min=1)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take at most so many networks.", min=1)] = None,
    splits: Annotated[str, typer.Option(help="Shares: train, dev, test.")] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Of the splits.", min=0)] = 1,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Shorter networks that do the same, for small models."),
    ] = False,
    build_check: Annotated[
        bool | None,
        typer.Option(
            "--build-check/--no-build-check",
            help="Train each for one step on noise (default: in features mode).",
        ),
    ] = None,
    replacements: Annotated[
        int | None,
        typer.Option(help="So often others may take the place of what does not run.", min=0),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write deduplicated networks that fit the contract as training pairs, in three parts."""
    from nngpt.finetuning import corpus
    from nngpt.novelty.dedup import options
    from nngpt.records import Mode
    from nngpt.reports.tables.corpus import funnel_table, splits_table

    settings = load_config(config, []) if config else _defaults()
    writer, tasks = _writer(settings, prompt, task, compact)
    mode = writer.template.mode
    choice = corpus.Choice(
        max_chars=max_chars or corpus.longest_answer(mode, settings.sampling.max_new_tokens),
        dedup=options.build_settings(levels, threshold, [], [], per_family, 10),
        best_on=best_on,
        min_accuracy=None
        if min_accuracy is None
        else options.check_share(min_accuracy, "--min-accuracy"),
        trained_only=trained_only,
        own=own,
        limit=limit,
        shares=_shares(splits),
        seed=seed,
        replacements=replacements,
    )
    checked = mode is Mode.FEATURES if build_check is None else build_check
    corpus.check_new(out)
    with _bars() as progress:
        networks = _networks(folder, best_on)
        with _check(checked, settings, tasks) as check:
            built = corpus.build(networks, writer, choice, check, progress)
    if not any(built.parts.values()):
        last = [loss for loss in built.funnel.losses() if loss.reasons][-1]
        reason = next(iter(last.reasons))
        raise UserError(f"no network is left ({last.step}: {reason})", where=str(folder))
    facts = corpus.facts(networks, writer, tasks, choice, checked)
    manifest = corpus.write_corpus(out, built, facts)
    if as_json:
        typer.echo(json.dumps(manifest, indent=1))
        return
    console().print(funnel_table(manifest))
    console().print(splits_table(manifest))
    typer.echo(f"Use it: nngpt cycle run … --set learning.corpus={out / 'train.jsonl'}")


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="A corpus in body mode.")],
    out: Annotated[Path, typer.Option(help="A new folder for the other one.")],
    config: Annotated[str, typer.Option(help="The run it is for: limits, hyperparameters.")],
    prompt: Annotated[str, typer.Option(help="Prompt template, of full or body mode.")],
    task: Annotated[list[str], typer.Option(help="The corpus's data sets.")] = [  # noqa: B006
        "mnist",
        "cifar10",
    ],
    compact: Annotated[
        bool, typer.Option("--compact", help="Without comments, docstrings and annotations.")
    ] = False,
    max_chars: Annotated[int | None, typer.Option(help="Longest answer.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Networks of each part.", min=1)] = None,
    skip: Annotated[int, typer.Option(help="Leave out so many first.", min=0)] = 0,
    one_task: Annotated[
        bool, typer.Option("--one-task", help="Each network for one task only, in turn.")
    ] = False,
    build_check: Annotated[
        bool, typer.Option("--build-check", help="Train each for one step on noise.")
    ] = False,
) -> None:
    """Make another corpus of a corpus of bodies: shorter ones, or whole files."""
    from nngpt.finetuning import corpus
    from nngpt.generation.prompts import template as prompts
    from nngpt.records import Mode

    corpus.check_new(out)
    settings = load_config(config, [])
    bodies, tasks = _writer(settings, "body", task)
    target = prompts.load(prompt)
    if target.mode not in (Mode.FULL, Mode.BODY):
        raise UserError("not a template of full or body mode", where=f"--prompt {prompt}")
    by_name = {task.dataset: task for task in tasks}
    conversion = corpus.Conversion(
        bodies.template, target, by_name, bodies.defaults, compact, max_chars
    )
    with _check(build_check, settings, tasks) as check:
        fault = check.fault if check else None
        pairs, left_out = corpus.convert(folder, out, conversion, fault, limit, skip, one_task)
    for reason, count in left_out.most_common():
        typer.echo(f"{count:,} networks left out: {reason}")
    typer.echo(f"{pairs:,} pairs. Use them: nngpt learn sft --corpus {out / 'train.jsonl'}")


@app.command()
def recombine(
    folder: Annotated[Path, typer.Argument(help="A corpus in features mode.")],
    out: Annotated[Path, typer.Option(help="A new folder for the corpus.")],
    config: Annotated[str, typer.Option(help="The run it is for: limits, hyperparameters.")],
    prompt: Annotated[
        str, typer.Option(help="The corpus's template, or one of body mode.")
    ] = "tuned-features",
    count: Annotated[int, typer.Option(help="How many new ones.", min=1)] = 600,
    task: Annotated[list[str], typer.Option(help="The corpus's data sets.")] = [  # noqa: B006
        "mnist",
        "cifar10",
    ],
    seed: Annotated[int, typer.Option(help="Which of many.", min=0)] = 1,
    build_check: Annotated[
        bool, typer.Option("--build-check/--no-build-check", help="Keep only what trains.")
    ] = True,
) -> None:
    """Make new networks of blocks of a corpus's layer lists: more lists, or bodies."""
    from nngpt.finetuning import corpus
    from nngpt.records import Candidate, Mode, Refusal

    corpus.check_new(out)
    settings = load_config(config, [])
    writer, tasks = _writer(settings, prompt, task)
    if writer.template.mode not in (Mode.FEATURES, Mode.BODY):
        hint = "Make bodies, and then whole files of them (nngpt corpus convert)"
        raise UserError("made are layer lists and bodies only", where=prompt, hint=hint)
    with _check(build_check, settings, tasks) as check, _bars() as progress:

        def fault(candidate: Candidate) -> Refusal | None:
            found = (check.fault(candidate, task.dataset) for task in tasks) if check else ()
            return next(filter(None, found), None)

        made = corpus.recombine(
            folder,
            out,
            count,
            writer.template,
            tasks,
            writer.defaults,
            seed,
            fault,
            lambda done: progress("recombining", done, count),
        )
    typer.echo(f"{made:,} new networks. Use them: … --corpus {out / 'train.jsonl'}")


def _defaults() -> Config:
    from nngpt.config import Config

    return Config()


def _writer(
    settings: Config, prompt: str | None, names: list[str], compact: bool = False
) -> tuple[Writer, list[Task]]:
    """Who writes the pairs, and the tasks. Raises: UserError."""
    from nngpt.finetuning.corpus import Writer
    from nngpt.generation import contract
    from nngpt.generation.prompts import template as prompts
    from nngpt.records import Mode

    template = prompts.load(prompt or settings.prompt.template)
    if template.mode is Mode.DELTA:
        hint = "Build one of whole networks (--prompt full), and give it as prompt.corpus"
        raise UserError("a corpus holds networks, not changes", where=template.name, hint=hint)
    tasks = [_task(name, settings.task.max_parameters) for name in dict.fromkeys(names)]
    return Writer(template, tasks, contract.Defaults.of(settings.evaluation), compact), tasks


def _task(name: str, max_parameters: int | None) -> Task:
    from nngpt import plugins
    from nngpt.records import Task

    source = plugins.load("data set", name).create(None)
    shape = (1, *source.shape)
    return Task(source.name, shape, (source.classes,), 0.0, max_parameters=max_parameters)


def _shares(text: str) -> tuple[float, float, float]:
    """Three shares that add up to 1. Raises: UserError."""
    try:
        train, dev, test = (float(part) for part in text.split(","))
    except ValueError:
        train = dev = test = -1.0
    shares = train, dev, test
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        hint = "Example: --splits 0.8,0.1,0.1"
        raise UserError(
            f"{text!r} is not three shares that add up to 1", where="--splits", hint=hint
        )
    return shares


def _networks(folder: Path, best_on: str | None) -> list[Recorded]:
    from nngpt.finetuning.corpus import read_networks

    if not os.access(folder / DATABASE, os.F_OK):
        raise StoreError("no mirror here", where=str(folder / DATABASE), hint=_FILL)
    with open_store(folder) as store:
        return read_networks(store, best_on)


def _check(
    wanted: bool, settings: Config, tasks: list[Task]
) -> AbstractContextManager[BuildCheck | None]:
    from nngpt.finetuning.corpus import build_check

    return build_check(settings.evaluation, tasks) if wanted else nullcontext()


@contextmanager
def _bars() -> Iterator[Progress]:
    """Bars on standard error while it works, if that is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bars:
        shown = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in shown:
                shown[what] = bars.add_task(what, total=total)
            bars.update(shown[what], completed=done, total=total)

        yield progress
