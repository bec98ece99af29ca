"""Progress bars on standard error for commands that process items one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nngpt.cli.options import console


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function `(activity, done, total)` that draws one bar for each activity.

    Bars are drawn only on a terminal, and removed at the end.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn())
    columns += (MofNCompleteColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    options: dict[str, Any] = {"console": out, "disable": not out.is_terminal}
    with Progress(*columns, **options, transient=True, speed_estimate_period=3600) as bars:
        shown: dict[str, Any] = {}

        def draw(activity: str, done: int, total: int) -> None:
            if activity not in shown:
                shown[activity] = bars.add_task(activity, total=total)
            bars.update(shown[activity], completed=done, total=total)

        yield draw


@contextmanager
def progress_bar(activity: str, every: int = 1) -> Iterator[Callable[[int, int], None]]:
    """Yield a function `(done, total)` that draws one bar at every `every`-th item."""
    with progress_bars() as draw:

        def progress(done: int, total: int) -> None:
            if done % every == 0 or done == total:
                draw(activity, done, total)

        yield progress
