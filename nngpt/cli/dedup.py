"""`nngpt dedup`: near-duplicates in a collection of networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.dedup_sources import Source, bar, find, read
from nngpt.cli.options import AsJson, Folder, console, print_json
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.novelty.dedup.collection import Collection
    from nngpt.novelty.dedup.records import Outcome, Settings
    from nngpt.records import Prompt

_STDOUT = Path("-")


@dataclass(frozen=True)
class _Targets:
    """What is to be written; None for what is not."""

    names: Path | None
    copies: Path | None
    chat: Path | None
    report: Path | None


def dedup(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, .py and .jsonl files.", metavar="[PATH]..."),
    ] = None,
    lemur: Annotated[bool, typer.Option("--lemur", help="The mirror of LEMUR.")] = False,
    folder: Folder = Path("runs"),
    best_on: Annotated[
        str | None, typer.Option(help="Accuracy in the mirror: the best on this data set.")
    ] = None,
    levels: Annotated[str, typer.Option(help="How to compare, cheapest first.")] = "exact,lexical",
    threshold: Annotated[float, typer.Option(help="Alike from this Jaccard similarity on.")] = 0.9,
    level_threshold: Annotated[
        list[str], typer.Option(help="Another threshold for a level.", metavar="LEVEL=VALUE")
    ] = [],  # noqa: B006 (typer copies it)
    family_threshold: Annotated[
        list[str], typer.Option(help="Another threshold inside a family.", metavar="FAMILY=VALUE")
    ] = [],  # noqa: B006
    per_family: Annotated[int | None, typer.Option(help="Keep at most this many of each.")] = None,
    shingle: Annotated[int, typer.Option(help="Tokens in a shingle.")] = 10,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Leave out networks that are worse or of unknown accuracy.")
    ] = None,
    explain: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Compare two files, or two networks of the collection.", metavar="A B"),
    ] = None,
    list_to: Annotated[
        Path | None, typer.Option("--list", help="Write the kept names; - prints them.")
    ] = None,
    copy_to: Annotated[
        Path | None, typer.Option(help="Copy the kept files to a new or empty folder.")
    ] = None,
    jsonl: Annotated[Path | None, typer.Option(help="Write the kept as chat pairs.")] = None,
    task: Annotated[str, typer.Option(help="The data set that the chat pairs ask for.")] = "mnist",
    report: Annotated[Path | None, typer.Option(help="Write an HTML report.")] = None,
    check: Annotated[bool, typer.Option(help="Exit with 1 if anything is a duplicate.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find near-duplicates; keep the most accurate of each group."""
    from nngpt.novelty.dedup import options

    settings = options.build_settings(
        levels, threshold, level_threshold, family_threshold, per_family, shingle
    )
    if min_accuracy is not None:
        options.check_share(min_accuracy, "--min-accuracy")
    source = Source(paths or [], lemur, folder, best_on)
    targets = _Targets(list_to, copy_to, jsonl, report)
    if explain is not None:
        alike = _explain(explain, source, targets, settings, as_json)
    else:
        alike = _deduplicate(source, targets, settings, min_accuracy, task, as_json)
    if check and alike:
        raise typer.Exit(1)


def _deduplicate(
    source: Source,
    targets: _Targets,
    settings: Settings,
    min_accuracy: float | None,
    task: str,
    as_json: bool,
) -> bool:
    """Do it, write and tell; True if there is any duplicate."""
    from nngpt.novelty.dedup.options import check_families
    from nngpt.novelty.dedup.outputs import chat_prompt
    from nngpt.novelty.dedup.pipeline import deduplicate
    from nngpt.novelty.dedup.summary import as_json as everything
    from nngpt.novelty.dedup.summary import summarise
    from nngpt.reports.dedup.tables import skipped_lines, summary_tables

    _check(targets, source.paths, as_json)
    prompt = chat_prompt(task) if targets.chat else None
    collection = read(source)
    if min_accuracy is not None:
        collection = collection.at_least(min_accuracy)
    for line in skipped_lines(collection):
        typer.echo(line, err=True)
    if not collection.networks:
        raise UserError("no networks to compare", hint="Give folders of .py files, or .jsonl files")
    check_families(settings, (network.family for network in collection.networks))
    with bar("comparing") as progress:
        outcome = deduplicate(collection.networks, settings, progress)
    _write(targets, source, collection, settings, outcome, prompt)
    if as_json:
        print_json(everything(collection, settings, outcome))
    elif targets.names != _STDOUT:
        for part in summary_tables(summarise(collection, settings, outcome), settings):
            console().print(part)
    return any(removed.neighbour is not None for removed in outcome.removed)


def _check(targets: _Targets, inputs: list[Path], as_json: bool) -> None:
    """All that can be wrong with the outputs, before any work. Raises: UserError."""
    from nngpt.novelty.dedup.outputs import check_file, check_folder

    if as_json and targets.names == _STDOUT:
        raise UserError("--json and --list - both print", hint="Give --list a file")
    files = {"--list": targets.names, "--jsonl": targets.chat, "--report": targets.report}
    for option, path in files.items():
        if path is not None and path != _STDOUT:
            check_file(path, option, inputs)
    if targets.copies is not None:
        check_folder(targets.copies, "--copy-to")


def _write(
    targets: _Targets,
    source: Source,
    collection: Collection,
    settings: Settings,
    outcome: Outcome,
    prompt: Prompt | None,
) -> None:
    from nngpt.novelty.dedup import outputs
    from nngpt.reports.dedup.page import report

    count = f"{len(outcome.kept):,}"
    if targets.names == _STDOUT:
        for line in outputs.kept_names(outcome):
            typer.echo(line, nl=False)
    elif targets.names is not None:
        outputs.write_file(targets.names, outputs.kept_names(outcome))
        typer.echo(f"{targets.names}: {count} names", err=True)
    if targets.copies is not None:
        outputs.copy_kept(targets.copies, collection, outcome)
        typer.echo(f"{targets.copies}: {count} files", err=True)
    if targets.chat is not None and prompt is not None:
        lines = [outputs.chat_line(network, prompt) for network in outcome.kept]
        good = [line for line in lines if line is not None]
        outputs.write_file(targets.chat, good)
        lost = f" ({len(lines) - len(good):,} cannot be written as an answer)"
        more = lost if len(good) < len(lines) else ""
        typer.echo(f"{targets.chat}: {len(good):,} chat pairs{more}", err=True)
    if targets.report is not None:
        page = report(collection, settings, outcome, source.text())
        outputs.write_file(targets.report, [page.encode()])
        typer.echo(f"{targets.report}: report", err=True)


def _explain(
    names: tuple[str, str], source: Source, targets: _Targets, settings: Settings, as_json: bool
) -> bool:
    """Compare two networks and tell; True if they are alike."""
    from nngpt.novelty.dedup.explanation import as_json as everything
    from nngpt.novelty.dedup.explanation import explain
    from nngpt.reports.dedup.tables import explanation_parts

    if any((targets.names, targets.copies, targets.chat, targets.report)):
        raise UserError("--explain writes no files", hint="Leave out the outputs, or redirect")
    one, other = find(names, source)
    explanation = explain(one, other, settings)
    if as_json:
        print_json(everything(explanation))
    else:
        for part in explanation_parts(explanation):
            console().print(part, soft_wrap=True)
    return explanation.verdict is not None
