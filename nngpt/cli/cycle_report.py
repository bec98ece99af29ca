"""`nngpt cycle report`: what a run did and what it cost, as a page, figures and tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import (
    AsJson,
    Folder,
    check_folder,
    console,
    find_run,
    make_folder,
    open_store,
    print_json,
)
from nngpt.errors import UserError

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.records import Candidate
    from nngpt.reports.analysis.study import Setting
    from nngpt.reports.run.page import Report
    from nngpt.store import RunRecord

PAGE = "report.html"


def report(
    run: Annotated[
        str | None, typer.Argument(help="A run's number or name (default: newest).")
    ] = None,
    folder: Folder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option(help="Where it goes (default: reports/ in the runs' folder).")
    ] = None,
    best: Annotated[int, typer.Option(help="Networks in the gallery.", min=0, max=100)] = 6,
    as_json: AsJson = False,
) -> None:
    """A page, figures and tables of a run."""
    with open_store(folder) as store:
        record = find_run(store, run)
        target = out or folder / "reports" / f"{_safe(record.name)}-{record.id}"
        check_folder(target, "--out")
        from nngpt.reports.analysis.study import read_study
        from nngpt.reports.run.page import report as make

        command = f"nngpt cycle report {record.id} --folder {folder}"
        found = make(read_study(store, record, read_setting(record)), best, command)
    written = _write(found, target)
    if as_json:
        files = [str(path) for path in written]
        said = {"verdict": found.verdict, "warnings": found.warnings}
        print_json({"run": record.id, "files": files, **said})
        return
    out_to = console()
    for line in (*found.warnings, *found.verdict):
        out_to.print(line, markup=False, highlight=False)
    figures, tables = len(found.figures) // 2, len(found.tables)
    out_to.print(
        f"Report: {target / PAGE} ({figures} figures as PNG and PDF, {tables} tables as CSV)",
        soft_wrap=True,
        markup=False,
    )


def read_setting(run: RunRecord) -> Setting:
    """What a run's figures depend on; what cannot be had any more is noted, and gone without."""
    from pydantic import ValidationError

    from nngpt.config import Config, completed
    from nngpt.reports.analysis.study import Setting

    stored = completed(run.config)
    notes = []
    try:
        config = Config.model_validate(stored)
        pairs, corpus, classes = _known(config)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        notes.append(f"Its configuration ({key}) is none of this nngpt's: no corpus is known.")
        pairs, corpus, classes = 0, {}, None
    except UserError as error:
        notes.append(f"No corpus is known: {error.line()}")
        pairs, corpus, classes = 0, {}, None
    return Setting(
        dataset=str(stored["task"]["dataset"]),
        threshold=float(stored["task"]["threshold"]),
        likeness=float(stored["novelty"]["threshold"]),
        shingle=int(stored["novelty"]["shingle"]),
        classes=classes,
        pairs=pairs,
        corpus=corpus,
        notes=tuple(notes),
    )


def _known(config: Config) -> tuple[int, dict[str, Candidate], int]:
    """Pairs of the corpus, the networks known before the run, and classes. Raises: UserError."""
    from nngpt.data.loading import data_source
    from nngpt.finetuning.corpus.networks import starting_networks
    from nngpt.generation.contract import make_reader

    source = data_source(config)
    pairs, networks = starting_networks(config, make_reader(config, source))
    return pairs, networks, source.classes


def _safe(name: str) -> str:
    """A run's name as a folder's."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"


def _write(found: Report, target: Path) -> list[Path]:
    """Write everything. Raises: UserError if it cannot be."""
    files: dict[str, bytes] = {
        PAGE: found.page.encode(),
        "config.yaml": found.config.encode(),
        **{f"figures/{name}": data for name, data in found.figures.items()},
        **{f"tables/{name}": text.encode() for name, text in found.tables.items()},
    }
    for sub in ("figures", "tables"):
        make_folder(target / sub, "--out")
    written = []
    for name, data in files.items():
        path = target / name
        try:
            path.write_bytes(data)
        except OSError as error:
            why = f"cannot be written ({error.strerror})"
            raise UserError(why, where=str(path), hint="Choose another with --out") from None
        written.append(path)
    return written
