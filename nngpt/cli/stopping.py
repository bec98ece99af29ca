"""Exit codes and one final line for commands ended by Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

_SOON_S = 0.01


class _Terminated(KeyboardInterrupt):
    """SIGTERM as a KeyboardInterrupt, which no `except Exception` catches."""


@contextmanager
def stoppable(message: str = "Stopped. The same command resumes.") -> Iterator[None]:
    """Print `message` and exit with 130 after Ctrl-C, with 143 after SIGTERM.

    Every part that was opened inside the block is closed first.
    """
    before, hook = signal.signal(signal.SIGTERM, _raise_terminated), sys.unraisablehook
    sys.unraisablehook = _stop_again
    try:
        yield
    except KeyboardInterrupt as stop:
        typer.echo(message, err=True)
        raise typer.Exit(128 + _number(type(stop))) from None
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before)


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _number(stop: type[BaseException]) -> signal.Signals:
    return signal.SIGTERM if issubclass(stop, _Terminated) else signal.SIGINT


def _stop_again(lost: Any) -> None:
    """Repeat a signal whose exception Python ignores since it came within a callback.

    Not at once: an exception within this function would be ignored too.
    """
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(_SOON_S, os.kill, (os.getpid(), _number(lost.exc_type))).start()
    else:
        sys.__unraisablehook__(lost)
