"""The warm parent of all workers: `python -m nngpt.execution.zygote SOCKET_FD SCRATCH`.

A fresh interpreter with one thread, without CUDA context and without labels of validation
images. It imports torch once and forks one worker per job, so a worker costs milliseconds. It
ends a worker with everything the worker started before it answers, and itself when the runner
is gone.

Messages from the runner: `{"job": limits}` with six descriptors, `{"kill": true}`,
`{"probe": "cuda"}`. Answers: `{"ready": threads}`, `{"pid": n}`, `{"cuda": bool}`, and
`{"exit": wait status, "maxrss_kib": n, "over": what it had too much of}`.
"""

from __future__ import annotations

import gc
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch._dynamo  # the first optimiser imports it: 2.4 s that no worker should pay
import torchvision.transforms.v2  # noqa: F401  (warm for the workers)

from nngpt.execution import limits, processes, wire, worker

_LOOK_S = 0.2
_END_S = 20.0


def main() -> None:
    """Serve jobs until the runner is gone."""
    runner = os.getppid()
    control, scratch = socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2])
    control.set_inheritable(False)
    _settle(runner)
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    gc.collect()
    gc.freeze()
    try:
        wire.send(control, {"ready": processes.threads()})
        while True:
            message, fds = wire.receive(control)
            if message is None:
                return
            if "job" in message:
                _serve(control, scratch, message["job"], fds)
            elif "probe" in message:
                wire.send(control, {"cuda": _probe_cuda()})
    except OSError:  # the runner is gone
        return
    finally:
        _leave(scratch)


def _settle(runner: int) -> None:
    limits.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def on_parent_death(*_: object) -> None:
        if os.getppid() != runner:  # else only the thread that started us has ended
            sys.exit(0)

    signal.signal(signal.SIGTERM, on_parent_death)
    limits.ask_parent_death_signal(signal.SIGTERM)
    if os.getppid() != runner:
        sys.exit(0)


def _leave(scratch: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    processes.end_descendants(_END_S)
    shutil.rmtree(scratch, ignore_errors=True)


def _serve(control: socket.socket, scratch: Path, job: dict[str, Any], fds: list[int]) -> None:
    """One worker from fork to reaping."""
    zygote = os.getpid()
    scratch.mkdir(mode=0o700, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="job-", dir=scratch))
    pid = os.fork()
    if pid == 0:
        _become_worker(zygote, folder, job, fds)
    for fd in fds:
        os.close(fd)
    wire.send(control, {"pid": pid})
    over = _watch(control, pid, limits.Limits(**job["limits"]))
    ended = processes.end_descendants(_END_S)
    shutil.rmtree(folder, ignore_errors=True)
    status, usage = ended[pid]
    wire.send(control, {"exit": status, "maxrss_kib": usage.ru_maxrss, "over": over})


def _watch(control: socket.socket, pid: int, bounds: limits.Limits) -> str:
    """Return when the worker has ended or must end; if it had too much, of what."""
    end = os.pidfd_open(pid)
    base = processes.status_kib("self", "RssAnon")
    try:
        poller = select.poll()
        poller.register(end, select.POLLIN)
        poller.register(control, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poller.poll(_LOOK_S * 1000)}
            if end in ready:
                return ""
            if control.fileno() in ready:
                message, _ = wire.receive(control)
                if message is None:
                    sys.exit(0)
                if "kill" in message:
                    return ""
            if over := _excess(base, bounds):
                return over
    finally:
        os.close(end)


def _excess(base: int, bounds: limits.Limits) -> str:
    """What the worker and all it started have too much of: "memory", "processes" or nothing.

    `base` is what each was forked with, in KiB.
    """
    pids = processes.descendants(os.getpid())
    if len(pids) > bounds.processes:
        return "processes"
    used = (processes.status_kib(pid, "RssAnon", "RssShmem") for pid in pids)
    own = sum(max(0, kib - base) for kib in used)
    return "memory" if own * 1024 > bounds.memory_bytes else ""


def _become_worker(zygote: int, folder: Path, job: dict[str, Any], fds: list[int]) -> NoReturn:
    """In the child: close, contain, run; never returns into the zygote's loop."""
    try:
        stderr, *rest = fds
        inputs = worker.Inputs(*rest)
        _wire_streams(stderr)
        processes.close_others({0, 1, 2, *rest})
        os.chdir(folder)
        os.environ["HOME"] = os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        missing = limits.contain(limits.Limits(**job["limits"]))
        if os.getppid() == zygote and (job["weak"] or not missing):
            worker.main(inputs)
        print("sandbox layers failed:", *missing, file=sys.stderr, flush=True)
    finally:
        os._exit(70)


def _wire_streams(stderr: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (nothing, 1), (stderr, 2)):
        os.dup2(source, target)


def _probe_cuda() -> bool:
    """Ask in a child: a process that has touched CUDA cannot fork users of CUDA."""
    pid = os.fork()
    if pid == 0:
        available = False
        try:
            available = torch.cuda.is_available()
        finally:
            os._exit(0 if available else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    processes.end_descendants(_END_S)
    return False


if __name__ == "__main__":
    main()
    os._exit(0)  # taking torch down takes a second
