"""Refusals of workers that ended without a result: killed, out of memory, or exited."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from nngpt.errors import ExecutionError
from nngpt.records import Refusal, Stage
from nngpt.sandbox.judge import BROKE_PROTOCOL, clean
from nngpt.sandbox.lane_client import WorkerExit

_KILLED_SUPERVISOR = "killed its supervisor"
_ATTACK = "asked the kernel for what only an attack needs"

OVER_TIME = "used more than its"
ASLEEP = "slept more than"
"""Beginnings of the reasons of what reached its limit on own seconds, and of what slept so long."""

HOSTILE = frozenset({BROKE_PROTOCOL, _KILLED_SUPERVISOR, _ATTACK})
"""Reasons that no honest network causes; earlier reports of such a process count for nothing."""

_MAX_DETAIL = 2000


def exit_refusal(
    stage: Stage | None, ended: WorkerExit | None, stderr: str, limits: Mapping[str, str]
) -> Refusal:
    """Return the refusal of a worker that ended without a result.

    Args:
        stage: the stage last reported, None if the worker never reported one.
        ended: how it ended, None if its lane was lost twice.
        limits: the limits in words, by the names of `WorkerExit.over`.

    Raises: ExecutionError if the worker ended before any generated code ran.
    """
    detail = clean(stderr, _MAX_DETAIL)
    if stage is None:
        if ended is None:
            raise ExecutionError("the supervisor of the sandbox died twice before a candidate ran")
        raise ExecutionError(f"a worker of the sandbox did not begin: {detail}")
    if ended is None:
        return Refusal(stage, _KILLED_SUPERVISOR, detail)
    if ended.over == "memory":
        return Refusal(stage, "out of memory", f"used more than {limits['memory']}")
    if ended.over == "processes":
        return Refusal(stage, "started too many processes", f"more than {limits['processes']}")
    if ended.over == "time":
        return Refusal(stage, f"{OVER_TIME} {limits['time']}", detail)
    if ended.over == "sleep":
        return Refusal(stage, f"{ASLEEP} {limits['sleep']}", detail)
    if os.WIFSIGNALED(ended.status):
        return Refusal(stage, _signal_reason(os.WTERMSIG(ended.status)), detail)
    code = os.waitstatus_to_exitcode(ended.status)
    return Refusal(stage, f"ended without a result (exit code {code})", detail)


def _signal_reason(number: int) -> str:
    if number == signal.SIGSYS:
        return _ATTACK
    known = {one.value: one.name for one in signal.Signals}
    return f"was killed by {known.get(number, f'signal {number}')}"
