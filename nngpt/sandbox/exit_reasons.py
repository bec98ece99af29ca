"""What to say of a worker that ended without an answer."""

from __future__ import annotations

import os
import signal

from nngpt.errors import ExecutionError
from nngpt.records import Refusal, Stage
from nngpt.sandbox.judge import BROKE_PROTOCOL, clean
from nngpt.sandbox.zygote_client import Exit

_KILLED_SUPERVISOR = "killed its supervisor"
_ATTACK = "asked the kernel for what only an attack needs"

HOSTILE = frozenset({BROKE_PROTOCOL, _KILLED_SUPERVISOR, _ATTACK})
"""Reasons that no honest network gives: what its process reported before counts for nothing."""

_MAX_DETAIL = 2000


def refusal(
    stage: Stage | None, ended: Exit | None, said: str, bounds: tuple[str, str]
) -> Refusal | None:
    """The refusal that a worker's end amounts to; None if the zygote died before it began.

    Args:
        stage: the stage last reported, None if the worker never reported anything.
        ended: how it ended, None if the zygote that would tell is gone.
        said: the end of its standard error.
        bounds: how much memory and how many processes it might have had, in words.

    Raises:
        ExecutionError: the worker ended before any generated code ran.
    """
    detail = clean(said, _MAX_DETAIL)
    if stage is None:
        if ended is None:
            return None
        raise ExecutionError(f"a worker of the sandbox did not begin: {detail}")
    if ended is None:
        return Refusal(stage, _KILLED_SUPERVISOR, detail)
    if ended.over == "memory":
        return Refusal(stage, "out of memory", f"used more than {bounds[0]}")
    if ended.over == "processes":
        return Refusal(stage, "started too many processes", f"more than {bounds[1]}")
    if ended.over == "cpu":
        return Refusal(stage, "used more CPU time than allowed", detail)
    if os.WIFSIGNALED(ended.status):
        return Refusal(stage, _killed(os.WTERMSIG(ended.status)), detail)
    code = os.waitstatus_to_exitcode(ended.status)
    return Refusal(stage, f"ended without a result (exit code {code})", detail)


def _killed(number: int) -> str:
    if number == signal.SIGSYS:
        return _ATTACK
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"was killed by signal {number}"
