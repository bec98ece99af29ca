"""`nngpt dedup`: find near-duplicates in a collection of networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nngpt.cli.options import AsJson, Levels, MirrorFolder, PerFamily, Threshold
from nngpt.cli.output import console, print_json, print_result, progress_bar
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.novelty.dedup.collection import DedupSettings
    from nngpt.novelty.dedup.outputs import OutputPaths
    from nngpt.novelty.dedup.sources import NetworkSources

_Paths = Annotated[
    list[Path] | None,
    Argument(help="Folders, wheels, .py files and .jsonl files to read.", metavar="PATH"),
]
_Lemur = Annotated[
    bool, Option("--lemur", help="Also take the networks of the LEMUR mirror (in --folder).")
]
_BestOn = Annotated[
    str | None, Option(help="With --lemur: rank networks by accuracy on this data set only.")
]
_LevelThreshold = Annotated[
    list[str],
    Option(
        help="Similarity (0…1) that makes duplicates at one level, instead of --threshold.",
        metavar="LEVEL=VALUE",
    ),
]
_FamilyThreshold = Annotated[
    list[str],
    Option(
        help="Similarity (0…1) that makes duplicates within one family, instead of --threshold.",
        metavar="FAMILY=VALUE",
    ),
]
_Shingle = Annotated[int, Option(help="Length of the compared token runs (shingles).")]
_MinAccuracy = Annotated[
    float | None, Option(help="Ignore networks whose accuracy (0…1) is lower or unknown.")
]
_Key = Annotated[
    str | None,
    Option(help="JSONL field with the code (default: code, nn_code, … text, content)."),
]
_All = Annotated[bool, Option("--all", help="Compare files that define no nn.Module, too.")]
_Explain = Annotated[
    tuple[str, str] | None,
    Option(help="Compare two networks only: files, or names.", metavar="A B"),
]
_List = Annotated[
    Path | None, Option("--list", help="File for the names of kept networks; - prints them.")
]
_CopyTo = Annotated[Path | None, Option(help="Copy the kept files to a new or empty folder.")]
_Jsonl = Annotated[Path | None, Option(help="File for the kept networks, as training pairs.")]
_Task = Annotated[str, Option(help="Data set named in the prompts of --jsonl.")]
_Report = Annotated[Path | None, Option(help="File for an HTML report.")]
_Check = Annotated[bool, Option("--check", help="Exit with 1 if there are duplicates.")]


def dedup(
    paths: _Paths = None,
    lemur: _Lemur = False,
    folder: MirrorFolder = None,
    best_on: _BestOn = None,
    levels: Levels = "exact,lexical",
    threshold: Threshold = 0.9,
    level_threshold: _LevelThreshold = [],  # noqa: B006 (typer copies it)
    family_threshold: _FamilyThreshold = [],  # noqa: B006
    per_family: PerFamily = None,
    shingle: _Shingle = 10,
    min_accuracy: _MinAccuracy = None,
    key: _Key = None,
    everything: _All = False,
    explain: _Explain = None,
    list_to: _List = None,
    copy_to: _CopyTo = None,
    jsonl: _Jsonl = None,
    task: _Task = "mnist",
    report: _Report = None,
    check: _Check = False,
    as_json: AsJson = False,
) -> None:
    """Find near-duplicates; keep the most accurate network of each group."""
    from nngpt.novelty.dedup.options import build_settings, check_share
    from nngpt.novelty.dedup.outputs import OutputPaths
    from nngpt.novelty.dedup.sources import NetworkSources
    from nngpt.store.lemur.mirror import mirror_folder

    settings = build_settings(
        levels, threshold, level_threshold, family_threshold, per_family, shingle
    )
    check_share(min_accuracy, "--min-accuracy")
    sources = NetworkSources(paths or [], lemur, mirror_folder(folder), best_on, key, everything)
    outputs = OutputPaths(list_to, copy_to, jsonl, report)
    if explain is not None:
        found = _explain(explain, sources, outputs, settings, as_json)
    else:
        found = _deduplicate(sources, outputs, settings, min_accuracy, task, as_json)
    if check and found:
        raise typer.Exit(1)


def _deduplicate(
    sources: NetworkSources,
    outputs: OutputPaths,
    settings: DedupSettings,
    min_accuracy: float | None,
    task: str,
    as_json: bool,
) -> bool:
    """Deduplicate, write the outputs, print the result; return True if there are duplicates."""
    from nngpt.novelty.dedup.options import check_families
    from nngpt.novelty.dedup.outputs import chat_prompt, kept_names, write_outputs
    from nngpt.novelty.dedup.pipeline import deduplicate
    from nngpt.novelty.dedup.sources import ACCEPTED, NO_MODULE
    from nngpt.novelty.dedup.summary import dedup_facts, summarise
    from nngpt.reports.dedup.page import report
    from nngpt.reports.dedup.tables import skipped_lines, summary_tables

    if as_json and outputs.prints_names:
        raise UserError("--json and --list - both print", hint="Give --list a file")
    outputs.check(sources.paths)
    prompt = chat_prompt(task) if outputs.chat else None
    with progress_bar("reading") as progress:
        collection = sources.read(progress)
    if min_accuracy is not None:
        collection = collection.with_min_accuracy(min_accuracy)
    for line in skipped_lines(collection):
        typer.echo(line, err=True)
    if not collection.networks:
        hint = "Give --all" if NO_MODULE in collection.left_out else f"Give {ACCEPTED}"
        raise UserError("no networks to compare", hint=hint)
    check_families(settings, (network.family for network in collection.networks))
    with progress_bar("comparing") as progress:
        outcome = deduplicate(collection.networks, settings, progress)
    page = report(collection, settings, outcome, str(sources)) if outputs.report else ""
    for line in write_outputs(outputs, collection, outcome, prompt, page):
        typer.echo(line, err=True)
    if outputs.prints_names:
        typer.echo(b"".join(kept_names(outcome)), nl=False)
    else:
        tables = summary_tables(summarise(collection, settings, outcome), settings, outcome)
        print_result(as_json, dedup_facts(collection, settings, outcome), *tables)
    return any(removed.neighbour is not None for removed in outcome.removed)


def _explain(
    names: tuple[str, str],
    sources: NetworkSources,
    outputs: OutputPaths,
    settings: DedupSettings,
    as_json: bool,
) -> bool:
    """Compare two networks and print the comparison; return True if they are duplicates."""
    from nngpt.novelty.dedup.explanation import explain, explanation_facts
    from nngpt.reports.dedup.tables import explanation_parts

    if outputs.any:
        raise UserError("--explain writes no files", hint="Omit the outputs, or redirect")
    one, other = sources.find(names)
    explanation = explain(one, other, settings)
    if as_json:
        print_json(explanation_facts(explanation))
    else:
        for part in explanation_parts(explanation):
            console().print(part, soft_wrap=True)
    return explanation.verdict is not None
