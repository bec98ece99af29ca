"""Files of a benchmark's rows, and the command line that makes and reports them."""

from __future__ import annotations

import gzip
import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from nngpt.files import append_lines, whole_lines


def parsers(description: str | None) -> tuple[ArgumentParser, ArgumentParser, ArgumentParser]:
    """Return a benchmark's parser, and those of its commands `run` and `report`."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    runs, reports = (commands.add_parser(name) for name in ("run", "report"))
    runs.add_argument("--out", type=Path, required=True, help="JSONL file; its rows are kept")
    reports.add_argument("files", type=Path, nargs="+", help="JSONL files of `run`, .gz or not")
    reports.add_argument("--figure", type=Path, help="file of the figure, .png or .svg")
    return parser, runs, reports


def read(*files: Path) -> list[dict[str, Any]]:
    """Return the rows of files, also compressed with gzip; none of a file that is not there."""
    return [json.loads(line) for file in files for line in _lines(file)]


def _lines(file: Path) -> list[bytes]:
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes()).splitlines()
    return whole_lines(file)


def append(file: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file."""
    append_lines(file, [json.dumps(row).encode()])


def show(report: ModuleType, results: object, figure: Path | None) -> None:
    """Print a report's tables, and draw its figure if a file is given."""
    print(report.markdown(results))
    if figure:
        report.save_figure(results, figure)
