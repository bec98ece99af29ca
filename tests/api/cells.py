"""Run cells of code as a notebook does, in one process that forks from a warm one (warm.py)."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from command_line import ROOT
from warm import FORKING

TIMEOUT_S = 300.0


def run_cells(folder: Path, cells: Sequence[str]) -> str:
    """Run cells in a folder; return what they print and display. No figures are drawn."""
    out = folder.parent / f"{folder.name}.printed"
    process = FORKING.Process(target=_run, args=(folder, list(cells), out))
    process.start()
    process.join(TIMEOUT_S)
    printed = out.read_text() if out.exists() else ""
    assert process.exitcode == 0, printed
    return printed


def _run(folder: Path, cells: Sequence[str], out: Path) -> NoReturn:
    os.environ["PYTHONPATH"] = str(ROOT)
    os.chdir(folder)
    sys.stdout = sys.stderr = out.open("w")
    code = 1
    try:
        _prepare()
        notebook = sys.modules["notebook"] = ModuleType("notebook")
        for number, text in enumerate(cells, 1):
            _run_cell(notebook, f"<cell {number}>", text)
        code = 0
    except BaseException:  # noqa: BLE001 (what a person would see)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _prepare() -> None:
    import warm_zygote

    from nngpt.reports.charts import Plot
    from nngpt.reports.run import page
    from nngpt.reports.run.plots.catalog import KINDS

    warm_zygote.fork_zygotes()
    # Drawing takes seconds, and is tested elsewhere.
    page.plots = lambda _: [Plot(k.name, k.title, k.caption, None, "not drawn") for k in KINDS]


def _run_cell(notebook: ModuleType, name: str, text: str) -> None:
    """Run a cell; display the value of the expression with which it ends."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    tree, last = ast.parse(text), None
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    exec(compile(tree, name, "exec"), vars(notebook))
    if last is not None:
        value = eval(compile(last, name, "eval"), vars(notebook))
        shown = getattr(value, "_repr_html_", lambda: repr(value))()
        print(shown)
