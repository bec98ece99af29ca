"""Commands that make corpora of synthetic networks: `scripts/synthetic-networks --help`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import load_config
from nngpt.cli.output import progress_bars
from nngpt.errors import NngptError, UserError
from nngpt.files import check_new
from nngpt.finetuning.corpus.build_check import open_build_check
from nngpt.finetuning.corpus.writers import make_writer
from nngpt.generation.prompts import template as prompts
from nngpt.records import Candidate, Refusal
from synthetic_networks.convert import Conversion, convert_corpus
from synthetic_networks.recombine import recombine_lists

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Make corpora of synthetic networks from a corpus of LEMUR's networks.",
)
Out = Annotated[Path, typer.Option(help="New folder for the corpus.")]
ConfigOption = Annotated[
    str, typer.Option(help="Configuration that supplies limits and hyperparameters.")
]
Datasets = Annotated[list[str], typer.Option(help="Data set of the corpus; repeatable.")]


@app.command()
def convert(
    folder: Annotated[Path, typer.Argument(help="A corpus in body mode.")],
    out: Out,
    config: ConfigOption,
    prompt: Annotated[str, typer.Option(help="Prompt template of full or body mode.")],
    task: Datasets = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    compact: Annotated[
        bool, typer.Option("--compact", help="Remove comments, docstrings and annotations.")
    ] = False,
    max_chars: Annotated[
        int | None, typer.Option(help="Maximum characters of an answer.", min=1)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of networks of each part.", min=1)
    ] = None,
    skip: Annotated[
        int, typer.Option(help="Number of networks of each part to leave out first.", min=0)
    ] = 0,
    one_task: Annotated[
        bool, typer.Option("--one-task", help="Take each network for one task only, in turn.")
    ] = False,
    build_check: Annotated[
        bool, typer.Option("--build-check", help="Train each network for one step on noise.")
    ] = False,
) -> None:
    """Convert a corpus of bodies into shorter bodies or whole files."""
    check_new(out)
    settings = load_config(config, [])
    writer = make_writer(settings, "body", task)
    target = prompts.load(prompt)
    if target.mode not in ("full", "body"):
        raise UserError("not a template of full or body mode", where=f"--prompt {prompt}")
    tasks = {task.dataset: task for task in writer.tasks}
    conversion = Conversion(writer.template, target, tasks, writer.defaults, compact, max_chars)
    opened = open_build_check(settings.evaluation, writer.tasks) if build_check else nullcontext()
    with opened as check:
        refuse = check.refuse if check else None
        pairs, excluded = convert_corpus(folder, out, conversion, refuse, limit, skip, one_task)
    for reason, count in excluded.most_common():
        typer.echo(f"{count:,} networks excluded: {reason}")
    typer.echo(f"{pairs:,} pairs. Use them: nngpt learn sft --corpus {out / 'train.jsonl'}")


@app.command()
def recombine(
    folder: Annotated[Path, typer.Argument(help="A corpus in features mode.")],
    out: Out,
    config: ConfigOption,
    prompt: Annotated[
        str, typer.Option(help="The corpus's template, or a template of body mode.")
    ] = "tuned-features",
    count: Annotated[int, typer.Option(help="Number of new networks.", min=1)] = 600,
    task: Datasets = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 1,
    build_check: Annotated[
        bool,
        typer.Option("--build-check/--no-build-check", help="Keep only networks that train."),
    ] = True,
) -> None:
    """Recombine blocks of a corpus's layer lists into new lists or bodies."""
    check_new(out)
    settings = load_config(config, [])
    writer = make_writer(settings, prompt, task)
    if writer.template.mode not in ("features", "body"):
        hint = "Make bodies, and convert them into whole files (convert)"
        raise UserError("only layer lists and bodies can be made", where=prompt, hint=hint)
    opened = open_build_check(settings.evaluation, writer.tasks) if build_check else nullcontext()
    with opened as check, progress_bars() as on_progress:

        def refuse(candidate: Candidate) -> Refusal | None:
            found = (check.refuse(candidate, t.dataset) for t in writer.tasks) if check else ()
            return next(filter(None, found), None)

        made = recombine_lists(
            folder,
            out,
            count,
            writer.template,
            writer.tasks,
            writer.defaults,
            seed,
            refuse,
            lambda done: on_progress("recombining", done, count),
        )
    typer.echo(f"{made:,} new networks. Use them: … --corpus {out / 'train.jsonl'}")


def main() -> None:
    """Run the commands; print an error that the user can fix as one line."""
    try:
        app(prog_name="synthetic-networks")
    except NngptError as error:
        print(f"synthetic-networks: {error.line()}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
