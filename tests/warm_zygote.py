"""Zygotes that fork from the command line's process, which has imported torch already.

A zygote of its own interpreter takes five seconds of imports. Tests of the sandbox itself, of the
wheel and of `command_line.start_nngpt` start that one; all other commands in tests fork it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import torch
import torch._dynamo
import torchvision.transforms.v2  # noqa: F401

from nngpt.sandbox import zygote, zygote_client

_PROGRAM = ["-P", "-m", "nngpt.sandbox.zygote"]


def fork_zygotes() -> None:
    """Make this process fork its zygotes, unless a wrapper starts them."""
    zygote_client.subprocess = SimpleNamespace(  # type: ignore[attr-defined]
        Popen=_start,
        DEVNULL=subprocess.DEVNULL,
        TimeoutExpired=subprocess.TimeoutExpired,
    )


def _start(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    kind = _ForkedZygote if list(command[1:4]) == _PROGRAM else subprocess.Popen
    return kind(command, **options)


class _ForkedZygote(subprocess.Popen[bytes]):
    """`subprocess.Popen` of a zygote, with a fork in place of fork and exec."""

    def _execute_child(self, *given: Any) -> None:
        pass_fds, environment, errors = given[4], given[6], given[15]
        self.pid = os.fork()
        if self.pid == 0:
            _become_zygote(pass_fds[0], environment, errors)
        self._child_created = True


def _become_zygote(control: int, environment: Mapping[str, str], errors: int) -> NoReturn:
    """Serve as a fresh interpreter would: nothing of the runner is open or set."""
    try:
        os.setsid()
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        kept = [os.dup(fd) for fd in (nothing, nothing, errors, control)]
        for target, fd in enumerate(kept):
            os.dup2(fd, target, inheritable=target < 3)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(environment)
        torch._dynamo.config.disable = True  # what TORCHDYNAMO_DISABLE does at its import
        torch.set_num_interop_threads = lambda number: None  # it can be called once only
        sys.argv = ["zygote", "3"]
        zygote.main()
    except BaseException:  # noqa: BLE001 (the client reads it)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(0)
