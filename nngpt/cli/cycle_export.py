"""`nngpt cycle export`: the best networks of a run as code, weights and ONNX, with a card each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import (
    AsJson,
    Folder,
    Sandbox,
    console,
    find_run,
    make_folder,
    open_store,
    print_json,
)
from nngpt.cli.stopping import stoppable
from nngpt.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nngpt.analysis.best import Source
    from nngpt.config import Config
    from nngpt.data.splits import Splits
    from nngpt.protocols import ExportsWeights
    from nngpt.store import RunRecord

RunName = Annotated[str | None, typer.Argument(help="A run's number or name (default: newest).")]
Best = Annotated[int, typer.Option(help="How many, by validation accuracy.", min=1)]
Out = Annotated[Path, typer.Option(help="A new or empty folder.")]
Epochs = Annotated[int | None, typer.Option(help="Of the training (default: the run's).", min=1)]
Onnx = Annotated[bool, typer.Option(help="Make ONNX files too.")]
Attempts = Annotated[
    list[int], typer.Option("--attempt", help="This attempt instead of the best.", metavar="N")
]

_MEND = "Install it with pip install 'nngpt[onnx]', or say --no-onnx"


def export(
    out: Out,
    run: RunName = None,
    best: Best = 5,
    epochs: Epochs = None,
    onnx: Onnx = True,
    attempts: Attempts = [],  # noqa: B006 (typer copies it)
    folder: Folder = Path("runs"),
    sandbox: Sandbox = None,
    as_json: AsJson = False,
) -> None:
    """Write the best networks as files; exits with 1 if one of them is refused."""
    from nngpt.analysis.best import sources
    from nngpt.exporting import exporter

    say = _speaker(as_json)
    with open_store(folder) as store, stoppable("Stopped. What was written is complete."):
        record = find_run(store, run)
        chosen = sources(store, record, best, attempts)
        _make_empty(out)
        with_onnx = onnx and _has_onnx(say)
        settings = _settings(record, epochs, sandbox)
        with exporter(settings, say) as (executor, splits):
            rows = [_export(executor, splits, source, out, with_onnx, say) for source in chosen]
    _write_index(out, record, rows, as_json)
    if any("refused" in row for row in rows):
        raise typer.Exit(1)


def _speaker(quiet: bool) -> Callable[[str], None]:
    from rich.text import Text

    lines = console(stderr=quiet)
    return lambda text: lines.print(Text(text), soft_wrap=True)


def _make_empty(out: Path) -> None:
    """Raises: UserError: something lies there already, or it cannot be made."""
    make_folder(out, "--out")
    if any(out.iterdir()):
        raise UserError("is not empty", where=str(out), mend="Choose another folder with --out")


def _has_onnx(say: Callable[[str], None]) -> bool:
    from importlib.util import find_spec

    if find_spec("onnx") is not None:
        return True
    say(f"No ONNX files: the package onnx is not here. {_MEND}.")
    return False


def _settings(record: RunRecord, epochs: int | None, sandbox: str | None) -> Config:
    from nngpt.config import changed, completed
    from nngpt.exporting import export_config

    extra = [f"evaluation.sandbox={sandbox}"] if sandbox else []
    return export_config(changed(completed(record.config), extra, "--sandbox"), epochs)


def _export(
    executor: ExportsWeights,
    splits: Splits,
    source: Source,
    out: Path,
    onnx: bool,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Export one network; returns its line of the index."""
    from nngpt.exporting import reproduced, train, write_network
    from nngpt.records import Refusal
    from nngpt.reporting.cards import accuracy_95, card, index_json, source_file

    exported = train(executor, source, onnx)
    head = f"  #{source.attempt.id:<5}"
    if isinstance(exported, Refusal):
        say(f"{head}refused at {exported.stage}: {exported.reason}")
        why = f"{exported.stage}: {exported.reason}"
        return {"attempt": source.attempt.id, "refused": why, "detail": exported.detail}
    same = reproduced(source.evaluation, exported.evaluation)
    text = card(source, exported, splits, same)
    write_network(out / source.folder, source_file(source), text, exported)
    words = {True: "as recorded", False: "NOT as recorded", None: "another training"}
    onnx_words = f"; no ONNX: {exported.onnx_problem}" if exported.onnx_problem else ""
    loaded = accuracy_95(*exported.loaded)
    say(f"{head}{source.folder}: {words[same]}, from its files {loaded}{onnx_words}")
    return index_json(source, exported, same)


def _write_index(
    out: Path, record: RunRecord, rows: Sequence[dict[str, Any]], as_json: bool
) -> None:
    from nngpt.reporting.cards import index_sheet
    from nngpt.reporting.sheets import markdown_table, rich_table

    facts = {"run": record.id, "name": record.name, "networks": list(rows)}
    sheet = index_sheet(rows, f"Networks of run {record.id}: {record.name}")
    (out / "index.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (out / "index.md").write_text(markdown_table(sheet), encoding="utf-8")
    if as_json:
        print_json(facts)
    else:
        console().print(rich_table(sheet))
