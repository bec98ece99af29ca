"""A lane: a process that runs workers one after another, with the next one always waiting.

A worker is forked and contained before its candidate arrives, so a candidate waits for neither.
A lane ends a worker together with its descendants before it answers.

Messages from the runner: `{"job": limit on own seconds}` with six descriptors, `{"own_s": true}`,
`{"kill": seconds to wait for its own end}`.
Answers: `{"ready": missing layers, "listed": process id}`, `{"begun": bool}`, `{"own_s": seconds}`,
`{"exit": wait status, "killed": by others, "maxrss_kib": n, "cpu_s": seconds, "own_s": seconds,
"over": limit}`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, NoReturn

from nngpt.gpus import Gpu
from nngpt.sandbox import processes, wire, worker
from nngpt.sandbox.candidate_run import Inputs
from nngpt.sandbox.containment import Containment, Limits
from nngpt.sandbox.layers import cgroup, kernel, namespaces
from nngpt.sandbox.own_time import OwnTime

_LOOK_S = 0.1
_MEMORY = ("RssAnon", "RssShmem", "VmPTE", "VmSwap")
_END_S = 20.0
_START_S = 60.0
_STARTS = 3


def main(control: socket.socket, settings: dict[str, Any], namespaced: bool) -> None:
    """Run the lane: serve the runner's jobs, each with a worker, until the runner is gone.

    Args:
        settings: `limits` (see `containment.Limits`), `threads` and `device` of the workers, and
            the `gpu` that they are pinned to (see `gpus.Gpu`), if any.
        namespaced: True if the zygote is in a process namespace.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    kernel.die_with_parent(signal.SIGTERM)
    kernel.adopt_orphans()
    processes.close_others({0, 1, 2, control.fileno()})
    lane = _Lane(control, settings, namespaced)
    try:
        lane.serve()
    except OSError:  # the runner is gone
        return
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        lane.close()


@dataclass
class _Worker:
    """A forked worker, its job's socket, and its control group where one can be made.

    Attributes:
        pid: process id in this lane's process namespace.
        handle: pidfd, readable once it has ended.
        listed: process id as listed in /proc, 0 before it is ready.
        missing: names of the containment layers it lacks.
        time: measures it, None before it has a job.
        limit_s: own seconds that its job may take, and as many asleep.
    """

    pid: int
    socket: socket.socket
    handle: int
    listed: int = 0
    missing: tuple[str, ...] = ()
    group: cgroup.Group | None = None
    time: OwnTime | None = None
    limit_s: float = 0.0


class _Lane:
    def __init__(self, control: socket.socket, settings: dict[str, Any], namespaced: bool) -> None:
        self.control, self.settings, self.namespaced = control, settings, namespaced
        self.limits = Limits(**settings["limits"])
        # Before there are namespaces: looking for libseccomp starts a process.
        self.gpu = Gpu(**settings["gpu"]) if settings["gpu"] else None
        if self.gpu is not None:
            self.gpu.pin()
        self.containment = Containment(self.limits, namespaced, self.gpu)
        self.spaces = namespaces.ProcessNamespaces() if namespaced else None
        self.forked = 0
        with contextlib.suppress(OSError):
            cgroup.remove_left_over()
        self.own_kib = processes.status_kib("self", *_MEMORY)
        self.waiting: _Worker | None = None

    def serve(self) -> None:
        self.waiting = self._fork()
        ready = self._wait_until_ready(self.waiting)
        missing = list(self.waiting.missing) if ready else None
        wire.send(self.control, {"ready": missing, "listed": _listed_pid()})
        while ready:
            message, fds = wire.receive(self.control)
            if message is None:
                return
            if "job" in message:
                self._run(float(message["job"]), fds)

    def close(self) -> None:
        """End the lane's waiting worker and all other descendants."""
        if self.waiting is not None:
            self._end(self.waiting)
        if not self.namespaced:
            processes.end_descendants(_END_S)

    def _run(self, limit_s: float, fds: list[int]) -> None:
        """Run one job: hand it to a worker, wait, clean up, report the exit."""
        running = self._hand_over(limit_s, fds)
        for fd in fds:
            os.close(fd)
        wire.send(self.control, {"begun": running is not None})
        if running is None:
            return
        self.waiting = self._fork()
        over = self._watch(running)
        ended_before = _has_ended(running, 0)
        status, usage, out_of_memory = self._end(running)
        assert running.time is not None, "a running worker is measured"
        cpu_s = running.time.cpu_s(usage.ru_utime + usage.ru_stime)
        late = "time" if not self.limits.cuda and cpu_s > running.limit_s else ""
        over = "memory" if out_of_memory else over or late
        killed = ended_before and not over and status == signal.SIGKILL
        own_s = running.time.seconds if self.limits.cuda else cpu_s
        facts = {"cpu_s": round(cpu_s, 3), "own_s": own_s, "over": over, "killed": killed}
        wire.send(self.control, {"exit": status, "maxrss_kib": usage.ru_maxrss, **facts})

    def _hand_over(self, limit_s: float, fds: list[int]) -> _Worker | None:
        """Give the job to the waiting worker; replace workers that died while waiting."""
        for _ in range(_STARTS):
            chosen, self.waiting = self.waiting or self._fork(), None
            with contextlib.suppress(OSError):
                if self._wait_until_ready(chosen):
                    chosen.time = OwnTime(chosen.pid, chosen.listed, self.limits.sharing)
                    chosen.limit_s = limit_s
                    wire.send(chosen.socket, {"job": True}, fds)
                    return chosen
            self._end(chosen)
        return None

    def _wait_until_ready(self, chosen: _Worker) -> bool:
        """Wait until the worker is contained and warm; return False if it died before."""
        if chosen.listed:
            return True
        chosen.socket.settimeout(_START_S)
        report = None
        with contextlib.suppress(OSError):
            report, _ = wire.receive(chosen.socket)
        if report is None:
            return False
        chosen.listed, chosen.missing = int(report["listed"]), tuple(report["missing"])
        return True

    def _fork(self) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        group = self._make_group()
        if self.spaces is not None:
            self.spaces.next()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _become_worker(theirs, group, self.containment, self.settings, self._gpu_share())
        theirs.close()
        return _Worker(pid, ours, os.pidfd_open(pid), group=group)

    def _gpu_share(self) -> float:
        """Return the share of its GPU's memory that a worker may use; as large as its own."""
        return min(1.0, self.limits.memory_bytes / self.gpu.total_bytes) if self.gpu else 1.0

    def _make_group(self) -> cgroup.Group | None:
        self.forked += 1
        limits = self.limits.memory_bytes, self.limits.processes
        with contextlib.suppress(OSError):
            return cgroup.Group(_listed_pid(), self.forked, *limits)
        return None

    def _watch(self, running: _Worker) -> str:
        """Wait until the worker has ended or must end; return the exceeded limit, "" if none."""
        assert running.time is not None, "a running worker is measured"
        poller = select.poll()
        poller.register(running.handle, select.POLLIN)
        poller.register(self.control, select.POLLIN)
        while True:
            # At random moments, so that no worker can be seen at work only when it is looked at.
            pause_s = secrets.randbelow(1000) / 1000 * 2 * _LOOK_S
            ready = {fd for fd, _ in poller.poll(pause_s * 1000)}
            if running.handle in ready:
                return ""
            message = None
            if self.control.fileno() in ready:
                message, _ = wire.receive(self.control)
                if message is None:
                    sys.exit(0)
                if "kill" in message:
                    _has_ended(running, float(message["kill"]))
                    return ""
            if over := self._exceeded(running):
                return over
            if message is not None:
                wire.send(self.control, {"own_s": running.time.seconds})

    def _exceeded(self, running: _Worker) -> str:
        """Return the limit that a worker with its descendants exceeds now, "" if none."""
        assert running.time is not None, "a running worker is measured"
        below = self._descendants(running)
        running.time.look(below)
        pids = [running.listed, *below]
        if sum(processes.tasks(pid) for pid in pids) > self.limits.processes:
            return "processes"
        used = (processes.status_kib(pid, *_MEMORY) for pid in pids)
        own = sum(max(0, kib - self.own_kib) for kib in used)
        if own * 1024 > self.limits.memory_bytes:
            return "memory"
        if running.time.seconds > running.limit_s:
            return "time"
        return "sleep" if running.time.asleep_s > running.limit_s else ""

    def _descendants(self, running: _Worker) -> list[int]:
        """Return a worker's descendants as in /proc, those that became this lane's included."""
        if self.namespaced:
            return processes.descendants(running.listed)
        workers = {running.pid, self.waiting.pid if self.waiting else None}
        return [pid for pid in processes.descendants(os.getpid()) if pid not in workers]

    def _end(self, worker: _Worker) -> tuple[int, Any, bool]:
        """Kill a worker and its descendants, reap it, and return (status, rusage, oom)."""
        signal.pidfd_send_signal(worker.handle, signal.SIGKILL)
        below = [] if self.namespaced else processes.descendants(worker.pid)
        _, status, usage = os.wait4(worker.pid, 0)
        os.close(worker.handle)
        worker.socket.close()
        if not self.namespaced:  # else the kernel has ended them with the first process
            kept = self.waiting.pid if self.waiting else None
            processes.kill(below)
            processes.end_descendants(_END_S, lambda pid: pid != kept)
        out_of_memory = worker.group is not None and worker.group.ran_out()
        if worker.group is not None:
            worker.group.remove()
        return status, usage, out_of_memory


def _has_ended(worker: _Worker, wait_s: float) -> bool:
    """Return True if the worker ends within `wait_s` seconds, before it is killed."""
    return bool(select.select([worker.handle], [], [], wait_s)[0])


def _become_worker(
    waiting: socket.socket,
    group: cgroup.Group | None,
    containment: Containment,
    settings: dict[str, Any],
    gpu_share: float,
) -> NoReturn:
    """Turn this forked process into a worker: contain it, warm up, wait for a job, run it."""
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        processes.close_others({0, 1, 2, waiting.fileno()})
        listed = _listed_pid()
        os.chdir("/")
        missing = containment.enter(group)
        os.environ["HOME"] = os.environ["TMPDIR"] = os.getcwd()  # noqa: PTH109
        tempfile.tempdir = None
        worker.warm_up(settings["threads"], settings["device"], gpu_share)
        os.write(waiting.fileno(), wire.packed({"listed": listed, "missing": missing}))
        message, fds = wire.receive(waiting)
        waiting.close()
        if message is not None:
            stderr, *rest = fds
            os.dup2(stderr, 2)
            os.close(stderr)
            worker.main(Inputs(*rest))
    finally:
        os._exit(70)


def _listed_pid() -> int:
    """Return the id of this process as /proc lists it, in the namespace of the mount."""
    return int(os.readlink("/proc/self"))  # noqa: PTH115
