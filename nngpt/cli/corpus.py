"""`nngpt corpus`: build training pairs from the LEMUR mirror."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import load_config, open_store
from nngpt.cli.options import AsJson, Folder
from nngpt.cli.output import console, print_json, progress_bars
from nngpt.errors import StoreError, UserError
from nngpt.files import DATABASE

app = typer.Typer(no_args_is_help=True, help="Build training pairs from the LEMUR mirror.")


@app.command()
def build(
    out: Annotated[Path, typer.Option(help="New folder for the corpus.")],
    folder: Folder = Path("runs"),
    task: Annotated[list[str], typer.Option(help="Data set of the prompts; repeatable.")] = [  # noqa: B006 (typer copies it)
        "mnist",
        "cifar10",
    ],
    prompt: Annotated[
        str | None, typer.Option(help="Prompt template (default: the configuration's).")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(help="Configuration that supplies prompt, limits and hyperparameters."),
    ] = None,
    levels: Annotated[
        str, typer.Option(help="Levels of deduplication, separated by commas.")
    ] = "exact,lexical",
    threshold: Annotated[
        float, typer.Option(help="Jaccard similarity at or above which networks are duplicates.")
    ] = 0.9,
    per_family: Annotated[
        int | None, typer.Option(help="Maximum number of networks per family.")
    ] = None,
    best_on: Annotated[
        str | None, typer.Option(help="LEMUR data set whose accuracies count (default: any).")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(help="Exclude networks with a lower best accuracy or none on record."),
    ] = None,
    trained_only: Annotated[
        bool, typer.Option("--trained-only", help="Exclude networks without a recorded accuracy.")
    ] = False,
    own: Annotated[
        bool, typer.Option("--own", help="Include networks that runs in this folder wrote.")
    ] = False,
    max_chars: Annotated[
        int | None,
        typer.Option(help="Maximum length of an answer (default: the configuration's).", min=1),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Maximum number of networks.", min=1)] = None,
    splits: Annotated[
        str, typer.Option(help="Shares of the train, dev and test parts.")
    ] = "0.8,0.1,0.1",
    seed: Annotated[int, typer.Option(help="Random seed of the splits.", min=0)] = 1,
    compact: Annotated[
        bool, typer.Option("--compact", help="Write shorter networks that compute the same.")
    ] = False,
    build_check: Annotated[
        bool | None,
        typer.Option(
            "--build-check/--no-build-check",
            help="Train each network for one step on noise (default: in features mode only).",
        ),
    ] = None,
    replacements: Annotated[
        int | None,
        typer.Option(help="How many times to replace networks that fail the build check.", min=0),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write LEMUR's networks as deduplicated training pairs: train, dev and test files."""
    from nngpt.finetuning.corpus.answers import make_writer
    from nngpt.finetuning.corpus.build import CorpusSelection
    from nngpt.finetuning.corpus.folder import check_new, create_corpus
    from nngpt.finetuning.corpus.lemur_networks import read_networks
    from nngpt.finetuning.corpus.splits import parse_shares
    from nngpt.novelty.dedup import options
    from nngpt.reports.tables.corpus import print_corpus

    settings = load_config(config, [])
    writer = make_writer(settings, prompt, task, compact)
    selection = CorpusSelection(
        max_chars=max_chars or writer.max_chars(settings.sampling.max_new_tokens),
        dedup=options.build_settings(levels, threshold, [], [], per_family, 10),
        best_on=best_on,
        min_accuracy=None
        if min_accuracy is None
        else options.check_share(min_accuracy, "--min-accuracy"),
        trained_only=trained_only,
        own=own,
        limit=limit,
        shares=parse_shares(splits),
        seed=seed,
        replacements=replacements,
    )
    checked = writer.template.mode == "features" if build_check is None else build_check
    check_new(out)
    if not os.access(folder / DATABASE, os.F_OK):
        hint = "Fill the mirror first: nngpt lemur pull"
        raise StoreError("no mirror here", where=str(folder / DATABASE), hint=hint)
    with open_store(folder) as store:
        networks = read_networks(store, best_on)
    evaluation = settings.evaluation if checked else None
    with progress_bars() as on_progress:
        manifest = create_corpus(out, networks, writer, selection, evaluation, on_progress)
    if as_json:
        print_json(manifest)
    else:
        print_corpus(manifest, out, console())


@app.command("convert", hidden=True, context_settings={"ignore_unknown_options": True})
@app.command("recombine", hidden=True, context_settings={"ignore_unknown_options": True})
def moved(context: typer.Context, arguments: list[str]) -> None:
    """Refuse the command, and print the script that replaces it."""
    raise UserError(
        f"moved to scripts/synthetic-networks {context.info_name}",
        where=f"nngpt corpus {context.info_name}",
        hint="It takes the same options; see docs/corpus.md.",
    )
