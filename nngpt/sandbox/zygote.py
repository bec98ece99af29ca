"""The zygote: the warm parent process of all workers. `python -m nngpt.sandbox.zygote SOCKET_FD`

    runner ── zygote: first process of a process namespace; imports torch, runs no generated code
                ├── lane 1 (nngpt.sandbox.lane) ── one worker at a time, the next one waiting
                └── lane 2 …

A fresh interpreter with one thread, no CUDA context, and no validation labels in its memory. When
it ends, for whatever reason, the kernel ends all its descendants.

Messages from the runner: `{"lane": settings}` with the lane's socket, `{"probe": "gpus"}`.
Answers: `{"ready": number of threads}`, `{"gpus": [facts of each]}`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from nngpt import gpus
from nngpt.sandbox import processes, wire
from nngpt.sandbox.layers import kernel, namespaces

_LOOK_MS = 1000
_END_S = 20.0
_PROBE_S = 60.0


def main() -> None:
    """Fork lanes for the runner and answer its probes, until it closes the socket or dies."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    runner = os.getppid()
    namespaced = True
    try:
        namespaces.as_first_process()  # before torch is imported, while the fork is cheap
    except OSError:
        namespaced = False
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not namespaced:
        kernel.adopt_orphans()
        kernel.end_with_parent(runner, lambda: sys.exit(0))
    _warm()
    try:
        wire.send(control, {"ready": processes.tasks("self")})
        _serve(control, namespaced)
    except OSError:  # the runner is gone
        return
    finally:
        if not namespaced:
            processes.end_descendants(_END_S)


def _warm() -> None:
    """Import everything that workers need, and freeze it for the garbage collector."""
    import torch
    import torch._dynamo  # the first optimiser imports it, which takes 2.4 s
    import torchvision.transforms.v2  # noqa: F401

    import nngpt.sandbox.lane  # noqa: F401

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    # Now, while /proc/cpuinfo is readable; otherwise workers use half the vector width.
    with torch.no_grad():
        torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.Linear(6, 8))(torch.ones(2, 1, 8, 8))
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket, namespaced: bool) -> None:
    """Open lanes and answer probes until the runner closes the socket."""
    poller = select.poll()
    poller.register(control, select.POLLIN)
    lanes: set[int] = set()
    while True:
        ready = poller.poll(_LOOK_MS)
        _reap(lanes, namespaced)
        if not ready:
            continue
        message, fds = wire.receive(control)
        if message is None:
            return
        if "lane" in message:
            lanes.add(_fork_lane(control, fds[0], message["lane"], namespaced))
            os.close(fds[0])
        elif "probe" in message:
            wire.send(control, {"gpus": _probe_gpus()})


def _fork_lane(control: socket.socket, fd: int, settings: dict[str, Any], namespaced: bool) -> int:
    from nngpt.sandbox import lane

    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            lane.main(socket.socket(fileno=fd), settings, namespaced)
        finally:
            os._exit(0)  # unloading torch takes a second
    return pid


def _reap(lanes: set[int], namespaced: bool) -> None:
    """Reap ended lanes; without a namespace, also end the orphans of killed lanes."""
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
            lanes.discard(pid)
    if not namespaced:
        orphans = set(processes.children(os.getpid())) - lanes
        for orphan in orphans:
            processes.kill([*processes.descendants(orphan), orphan])


def _probe_gpus() -> list[dict[str, Any]]:
    """List GPUs in a child: a process that has used CUDA cannot fork users of CUDA."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, json.dumps([asdict(gpu) for gpu in gpus.found()]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    if not select.select([reading], [], [], _PROBE_S)[0]:
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    facts: list[dict[str, Any]] = json.loads(text or "[]")
    return facts


if __name__ == "__main__":
    main()
    os._exit(0)  # unloading torch takes a second
