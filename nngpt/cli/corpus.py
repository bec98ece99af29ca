"""`nngpt corpus`: build training pairs from the LEMUR mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Levels, MirrorFolder, PerFamily, Threshold
from nngpt.cli.output import console, print_json, progress_bars
from nngpt.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Build training pairs from the LEMUR mirror.")


_Out = Annotated[Path, typer.Option(help="New folder for the corpus.")]
_Tasks = Annotated[list[str], typer.Option(help="Data set to name in the prompts; repeatable.")]
_Prompt = Annotated[
    str | None, typer.Option(help="Prompt template (default: the configuration's).")
]
_ConfigName = Annotated[
    str | None,
    typer.Option(help="Configuration that supplies prompt, limits and hyperparameters."),
]
_BestOn = Annotated[
    str | None, typer.Option(help="LEMUR data set whose accuracies count (default: any).")
]
_MinAccuracy = Annotated[
    float | None,
    typer.Option(help="Exclude networks with a lower best accuracy or none on record."),
]
_TrainedOnly = Annotated[
    bool, typer.Option("--trained-only", help="Exclude networks without a recorded accuracy.")
]
_Own = Annotated[
    bool, typer.Option("--own", help="Include networks of nngpt's own runs in --folder.")
]
_MaxChars = Annotated[
    int | None,
    typer.Option(help="Maximum length of an answer (default: the configuration's).", min=1),
]
_Limit = Annotated[
    int | None, typer.Option(help="Maximum number of networks in the corpus.", min=1)
]
_Shares = Annotated[str, typer.Option(help="Shares of the train, dev and test files, 0…1.")]
_Seed = Annotated[
    int, typer.Option(help="Random seed of the split into train, dev and test.", min=0)
]
_Compact = Annotated[
    bool, typer.Option("--compact", help="Write shorter networks that compute the same.")
]
_BuildCheck = Annotated[
    bool | None,
    typer.Option(
        "--build-check/--no-build-check",
        help="Train each network for one step on noise (default: in features mode only).",
    ),
]
_Replacements = Annotated[
    int | None,
    typer.Option(
        help="Rounds of replacing networks that fail the build check by near-duplicates "
        "(default: no limit).",
        min=0,
    ),
]


@app.command()
def build(
    out: _Out,
    folder: MirrorFolder = Path("runs"),
    task: _Tasks = ["mnist", "cifar10"],  # noqa: B006 (typer copies it)
    prompt: _Prompt = None,
    config: _ConfigName = None,
    levels: Levels = "exact,lexical",
    threshold: Threshold = 0.9,
    per_family: PerFamily = None,
    best_on: _BestOn = None,
    min_accuracy: _MinAccuracy = None,
    trained_only: _TrainedOnly = False,
    own: _Own = False,
    max_chars: _MaxChars = None,
    limit: _Limit = None,
    splits: _Shares = "0.8,0.1,0.1",
    seed: _Seed = 1,
    compact: _Compact = False,
    build_check: _BuildCheck = None,
    replacements: _Replacements = None,
    as_json: AsJson = False,
) -> None:
    """Write LEMUR's networks as deduplicated training pairs: train, dev and test files."""
    from nngpt.finetuning.corpus.answers import make_writer
    from nngpt.finetuning.corpus.build import CorpusSelection, parse_shares
    from nngpt.finetuning.corpus.folder import check_new, create_corpus
    from nngpt.finetuning.corpus.lemur_networks import read_networks
    from nngpt.novelty.dedup.options import build_settings, check_share
    from nngpt.reports.tables.data import print_corpus
    from nngpt.store.lemur.mirror import open_mirror

    if min_accuracy is not None:
        check_share(min_accuracy, "--min-accuracy")
    settings = load_config(config, [])
    writer = make_writer(settings, prompt, task, compact)
    selection = CorpusSelection(
        max_chars=max_chars or writer.max_chars(settings.sampling.max_new_tokens),
        dedup=build_settings(levels, threshold, [], [], per_family, 10),
        best_on=best_on,
        min_accuracy=min_accuracy,
        trained_only=trained_only,
        own=own,
        limit=limit,
        shares=parse_shares(splits),
        seed=seed,
        replacements=replacements,
    )
    checked = writer.template.mode == "features" if build_check is None else build_check
    check_new(out)
    with open_mirror(folder) as store:
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
    """Refuse a command of `nngpt corpus` that moved, and print the script that replaces it."""
    raise UserError(
        f"moved to scripts/synthetic-networks {context.info_name}",
        where=f"nngpt corpus {context.info_name}",
        hint="It takes the same options; see docs/corpus.md.",
    )
