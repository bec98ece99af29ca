"""Busy loops beside what is tested: other users of the machine, ended by their process ids."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

BURNS = "while True: pass"


@contextmanager
def busy_loops(count: int, cores: Collection[int] = ()) -> Iterator[None]:
    """Run `count` processes that compute and do nothing else, on these cores if any are given."""
    loops = [subprocess.Popen([sys.executable, "-c", BURNS]) for _ in range(count)]
    try:
        for loop in loops:
            if cores:
                os.sched_setaffinity(loop.pid, cores)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
