"""The warm parent of all workers: `python -m nngpt.sandbox.zygote SOCKET_FD`.

    runner ── zygote: the first process of a process namespace; imports torch, runs nothing
                ├── lane 1 (nngpt.sandbox.lane) ── one worker at a time, the next one waiting
                └── lane 2 …

A fresh interpreter with one thread, without CUDA context and without labels of validation
images. When it ends, however it ends, the kernel ends everything below it.

Messages from the runner: `{"lane": settings}` with the lane's socket, `{"probe": "cuda"}`.
Answers: `{"ready": number of threads}`, `{"cuda": bool}`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import Any

from nngpt.sandbox import processes, wire
from nngpt.sandbox.layers import kernel, namespaces

_LOOK_MS = 1000
_END_S = 20.0


def main() -> None:
    """Serve the runner until it is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    runner = os.getppid()
    namespaced = True
    try:
        namespaces.as_first_process()  # while nothing big is imported: the fork is cheap
    except OSError:
        namespaced = False
    _settle(runner, namespaced)
    _warm()
    try:
        wire.send(control, {"ready": processes.threads()})
        _serve(control, namespaced)
    except OSError:  # the runner is gone
        return
    finally:
        if not namespaced:
            processes.end_descendants(_END_S)


def _settle(runner: int, namespaced: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if namespaced:
        return

    def on_parent_death(*_: object) -> None:
        if os.getppid() != runner:  # else only the thread that started us has ended
            sys.exit(0)

    kernel.adopt_orphans()
    signal.signal(signal.SIGTERM, on_parent_death)
    kernel.die_with_parent(signal.SIGTERM)
    if os.getppid() != runner:
        sys.exit(0)


def _warm() -> None:
    """Import what every worker needs, and leave nothing to do for the garbage collector."""
    import torch
    import torch._dynamo  # the first optimiser imports it: 2.4 s that no worker should pay
    import torchvision.transforms.v2  # noqa: F401

    import nngpt.sandbox.lane  # noqa: F401

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    # Now, while /proc/cpuinfo can be read: else the workers compute with half the vector width.
    with torch.no_grad():
        torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.Linear(6, 8))(torch.ones(2, 1, 8, 8))
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket, namespaced: bool) -> None:
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
            wire.send(control, {"cuda": _probe_cuda()})


def _fork_lane(control: socket.socket, fd: int, settings: dict[str, Any], namespaced: bool) -> int:
    from nngpt.sandbox import lane

    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            lane.main(socket.socket(fileno=fd), settings, namespaced)
        finally:
            os._exit(0)  # taking torch down takes a second
    return pid


def _reap(lanes: set[int], namespaced: bool) -> None:
    """Bury ended lanes; where no namespace does it, end what a killed lane left behind."""
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
            lanes.discard(pid)
    if not namespaced:
        orphans = set(processes.children(os.getpid())) - lanes
        for orphan in orphans:
            processes.kill([*processes.descendants(orphan), orphan])


def _probe_cuda() -> bool:
    """Ask in a child: a process that has touched CUDA cannot fork users of CUDA."""
    pid = os.fork()
    if pid == 0:
        available = False
        try:
            import torch

            available = torch.cuda.is_available()
        finally:
            os._exit(0 if available else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


if __name__ == "__main__":
    main()
    os._exit(0)  # taking torch down takes a second
