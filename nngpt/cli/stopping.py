"""Exit codes and one final line for commands ended by Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class _Terminated(KeyboardInterrupt):
    """SIGTERM as a KeyboardInterrupt, which no `except Exception` catches."""


@contextmanager
def stoppable(message: str = "Stopped. The same command resumes.") -> Iterator[None]:
    """Print `message` and exit with 130 after Ctrl-C, with 143 after SIGTERM.

    Every part that was opened inside the block is closed first.
    """
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        yield
    except KeyboardInterrupt as stop:
        typer.echo(message, err=True)
        number = signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated
