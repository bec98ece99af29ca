"""Print results on standard output, and log lines and progress bars on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def console(stderr: bool = False) -> Console:
    """Return a rich console to print on: colours and bars on a terminal, plain lines elsewhere."""
    from rich.console import Console

    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=140)


def print_json(value: Any) -> None:
    """Print a command's result as JSON on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_result(as_json: bool, facts: Any, *parts: RenderableType) -> None:
    """Print a command's result: `facts` as JSON, or the given tables and texts."""
    if as_json:
        return print_json(facts)
    for part in parts:
        typer.echo(part) if isinstance(part, str) else console().print(part)
    return None


def print_notes(notes: Iterable[str]) -> None:
    """Print notes about a result on standard error."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def logger(stderr: bool = True, **style: Any) -> Callable[..., None]:
    """Return a function that prints a log line, unwrapped, on standard error or output."""
    return partial(console(stderr).print, markup=False, emoji=False, soft_wrap=True, **style)


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function `(activity, done, total)` that draws a progress bar per activity.

    Bars are drawn only on a terminal, and removed at the end.
    """
    from rich import progress

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    counts = (progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    out = console(stderr=True)
    options: dict[str, Any] = {"console": out, "disable": not out.is_terminal, "transient": True}
    with progress.Progress(*columns, *counts, **options, speed_estimate_period=3600) as bars:
        shown: dict[str, Any] = {}

        def draw(activity: str, done: int, total: int) -> None:
            if activity not in shown:
                shown[activity] = bars.add_task(activity, total=total)
            bars.update(shown[activity], completed=done, total=total)

        yield draw


@contextmanager
def progress_bar(activity: str, every: int = 1) -> Iterator[Callable[[int, int], None]]:
    """Yield a function `(done, total)` that draws one progress bar, at every `every`-th item."""
    with progress_bars() as draw:

        def progress(done: int, total: int) -> None:
            if done % every == 0 or done == total:
                draw(activity, done, total)

        yield progress
