"""`nngpt corpus`: build training pairs from the LEMUR mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from nngpt.cli.inputs import load_config
from nngpt.cli.options import AsJson, Levels, MirrorFolder, PerFamily, Threshold
from nngpt.cli.output import print_result, progress_bars
from nngpt.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Build training pairs from the LEMUR mirror.")


_Out = Annotated[Path, Option(help="New folder for the corpus.")]
_Tasks = Annotated[list[str], Option(help="Data set to name in the prompts; repeatable.")]
_Prompt = Annotated[str | None, Option(help="Prompt template (default: the configuration's).")]
_ConfigName = Annotated[
    str | None, Option(help="Configuration that supplies prompt, limits and hyperparameters.")
]
_BestOn = Annotated[
    str | None, Option(help="LEMUR data set whose accuracies count (default: any).")
]
_MinAccuracy = Annotated[
    float | None, Option(help="Exclude networks with a lower best accuracy or none on record.")
]
_TrainedOnly = Annotated[
    bool, Option("--trained-only", help="Exclude networks without a recorded accuracy.")
]
_Own = Annotated[
    bool, Option("--own", help="Include networks of nngpt's own runs, from --folder or runs.")
]
_MaxChars = Annotated[
    int | None, Option(help="Maximum length of an answer (default: the configuration's).", min=1)
]
_Limit = Annotated[int | None, Option(help="Maximum number of networks in the corpus.", min=1)]
_Shares = Annotated[str, Option(help="Shares of the train, dev and test files, 0…1.")]
_Seed = Annotated[int, Option(help="Random seed of the split into train, dev and test.", min=0)]
_Compact = Annotated[
    bool, Option("--compact", help="Write shorter networks that compute the same.")
]
_BuildCheck = Annotated[
    bool | None,
    Option(
        "--build-check/--no-build-check",
        help="Train each network for one step on noise (default: in features mode only).",
    ),
]
_Replacements = Annotated[
    int | None,
    Option(
        help="Rounds of replacing networks that fail the build check by near-duplicates "
        "(default: no limit).",
        min=0,
    ),
]


@app.command()
def build(
    out: _Out,
    folder: MirrorFolder = None,
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
    from nngpt.finetuning.corpus.build import CorpusSelection, parse_shares
    from nngpt.finetuning.corpus.folder import create_corpus
    from nngpt.finetuning.corpus.writers import make_writer
    from nngpt.novelty.dedup.options import build_settings, check_share
    from nngpt.reports.tables.data import corpus_parts
    from nngpt.store.lemur.mirror import RUNS, mirror_folder

    settings = load_config(config, [])
    writer = make_writer(settings, prompt, task, compact)
    selection = CorpusSelection(
        max_chars=max_chars or writer.max_chars(settings.sampling.max_new_tokens),
        dedup=build_settings(levels, threshold, per_family=per_family),
        best_on=best_on,
        min_accuracy=check_share(min_accuracy, "--min-accuracy"),
        trained_only=trained_only,
        own=own,
        limit=limit,
        shares=parse_shares(splits),
        seed=seed,
        replacements=replacements,
    )
    if build_check is None:
        build_check = writer.asked.mode == "features"
    check = settings.evaluation if build_check else None
    with progress_bars() as on_progress:
        folders = [mirror_folder(folder), *([RUNS] if own and folder is None else [])]
        manifest = create_corpus(out, folders, writer, selection, check, on_progress)
    print_result(as_json, manifest, *corpus_parts(manifest, out))


@app.command("convert", hidden=True, context_settings={"ignore_unknown_options": True})
@app.command("recombine", hidden=True, context_settings={"ignore_unknown_options": True})
def moved(context: typer.Context, arguments: list[str]) -> None:
    """Refuse a command of `nngpt corpus` that moved, and print the script that replaces it."""
    raise UserError(
        f"moved to scripts/synthetic-networks {context.info_name}",
        where=f"nngpt corpus {context.info_name}",
        hint="It takes the same options; see docs/corpus.md.",
    )
