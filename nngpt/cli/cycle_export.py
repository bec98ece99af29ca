"""`nngpt cycle export`: the best networks of a run as code, weights and ONNX, with a card each."""

from __future__ import annotations

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

    from nngpt.cli.export_index import Index
    from nngpt.config import Config
    from nngpt.data.splits import Splits
    from nngpt.protocols import ExportsWeights
    from nngpt.reports.analysis.best import Source
    from nngpt.store import RunRecord

RunName = Annotated[str | None, typer.Argument(help="A run's number or name (default: newest).")]
Best = Annotated[int, typer.Option(help="How many, by validation accuracy.", min=1)]
Out = Annotated[Path, typer.Option(help="A new or empty folder, or one to go on with.")]
Epochs = Annotated[int | None, typer.Option(help="Of the training (default: the run's).", min=1)]
Onnx = Annotated[bool, typer.Option(help="Make ONNX files too.")]
Attempts = Annotated[
    list[int], typer.Option("--attempt", help="This attempt instead of the best.", metavar="N")
]

_HINT = "Install it with pip install 'nngpt[onnx]', or say --no-onnx"


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
    from nngpt.cycle.export import open_exporter
    from nngpt.reports.analysis.best import sources

    log = _speaker(as_json)
    with open_store(folder) as store, stoppable("Stopped. The same command goes on."):
        record = find_run(store, run)
        chosen = sources(store, record, best, attempts)
        with_onnx = onnx and _has_onnx(log)
        settings = _settings(record, epochs, sandbox)
        index = _index(out, record, chosen, settings, with_onnx)
        left = [source for source in chosen if source.attempt.id not in index.rows]
        if index.rows:
            log(f"{len(index.rows)} of {len(chosen)} networks are here already.")
        index.write()
        if left:
            with open_exporter(settings, log) as (executor, splits):
                for source in left:
                    index.add(_export(executor, splits, source, out, with_onnx, log))
    _tell(index, as_json)
    if any("refused" in row for row in index.facts["networks"]):
        raise typer.Exit(1)


def _speaker(quiet: bool) -> Callable[[str], None]:
    from rich.text import Text

    lines = console(stderr=quiet)
    return lambda text: lines.print(Text(text), soft_wrap=True)


def _index(
    out: Path, record: RunRecord, chosen: Sequence[Source], settings: Config, onnx: bool
) -> Index:
    """The folder's index, with what an interrupted export by the same command has written.

    Raises:
        UserError: something else lies there already, or it cannot be made.
    """
    from nngpt.cli.export_index import Index

    make_folder(out, "--out")
    evaluation = settings.evaluation
    made = {
        "created": record.created,
        "attempts": [source.attempt.id for source in chosen],
        "onnx": onnx,
        "epochs": evaluation.epochs,
        "sandbox": evaluation.sandbox,
    }
    index = Index(out, record, made)
    if not index.resume() and any(not _is_left_over(path) for path in out.iterdir()):
        hint = "Choose another folder with --out, or repeat the command that began this one"
        raise UserError("is not empty", where=str(out), hint=hint)
    return index


def _is_left_over(path: Path) -> bool:
    """Of a write that was killed."""
    return path.name.startswith(".") and path.name.endswith(".partial")


def _has_onnx(log: Callable[[str], None]) -> bool:
    from importlib.util import find_spec

    if find_spec("onnx") is not None:
        return True
    log(f"No ONNX files: the package onnx is not here. {_HINT}.")
    return False


def _settings(record: RunRecord, epochs: int | None, sandbox: str | None) -> Config:
    from nngpt.config import changed, completed
    from nngpt.cycle.export import export_config

    extra = [f"evaluation.sandbox={sandbox}"] if sandbox else []
    return export_config(changed(completed(record.config), extra, "--sandbox"), epochs)


def _export(
    executor: ExportsWeights,
    splits: Splits,
    source: Source,
    out: Path,
    onnx: bool,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Export one network; returns its line of the index."""
    from nngpt.cycle.export import reproduced, train, write_network
    from nngpt.records import Refusal
    from nngpt.reports.cards import accuracy_95, card, index_json, source_file

    exported = train(executor, source, onnx)
    head = f"  #{source.attempt.id:<5}"
    if isinstance(exported, Refusal):
        log(f"{head}refused at {exported.stage}: {exported.reason}")
        why = f"{exported.stage}: {exported.reason}"
        return {"attempt": source.attempt.id, "refused": why, "detail": exported.detail}
    same = reproduced(source.evaluation, exported.evaluation)
    text = card(source, exported, splits, same)
    write_network(out / source.folder, source_file(source), text, exported)
    words = {True: "as recorded", False: "NOT as recorded", None: "another training"}
    onnx_words = f"; no ONNX: {exported.onnx_problem}" if exported.onnx_problem else ""
    loaded = accuracy_95(*exported.loaded)
    log(f"{head}{source.folder}: {words[same]}, from its files {loaded}{onnx_words}")
    return index_json(source, exported, same)


def _tell(index: Index, as_json: bool) -> None:
    from nngpt.reports.sheets import rich_table

    if as_json:
        print_json(index.facts)
    else:
        console().print(rich_table(index.sheet))
