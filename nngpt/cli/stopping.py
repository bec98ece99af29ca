"""Ctrl-C and SIGTERM end a command with one line: what was done is in the store."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer


class _Stop(KeyboardInterrupt):
    """SIGTERM, treated like Ctrl-C: no `except Exception` on the way keeps it from us."""


@contextmanager
def stoppable(
    said: str = "Stopped. The same command carries on from here.",
) -> Iterator[None]:
    """Exit with 130 after Ctrl-C and with 143 after SIGTERM, once all parts are closed."""
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except KeyboardInterrupt as stop:
        typer.echo(said, err=True)
        number = signal.SIGTERM if isinstance(stop, _Stop) else signal.SIGINT
        raise typer.Exit(128 + number) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop
