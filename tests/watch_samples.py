"""A run to watch, written step by step, and the server in a thread or as a process."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from command_line import begin_nngpt
from store_samples import NOVEL, PROMPT, TASK, adapter, candidate, completion, evaluation

from nngpt.files import DATABASE
from nngpt.records import Arm, Refusal, Stage
from nngpt.reports.live.database import open_watched
from nngpt.reports.live.server import WatchServer
from nngpt.reports.live.snapshot import Snapshots
from nngpt.store import Activity, Lease, RunRecord, Store

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>\u202e"
)
HOSTILE_CODE = f"# {HOSTILE}\nclass Net: pass\n"
SETTINGS = {
    "cycles": 3,
    "task": {"dataset": "cifar10", "threshold": 0.4},
    "candidates": {"per_cycle": 4},
}


def new_run(store: Store, name: str = "demo", **more: object) -> RunRecord:
    """A run of three cycles of four candidates."""
    return store.start_run(name, {"name": name, **SETTINGS, **more}, {"name": name}, seed=7)


def write(lease: Lease, cycle: int, batch: int, count: int, arm: Arm = Arm.LOOP) -> list[int]:
    """Completions of an arm."""
    written = [completion(index) for index in range(count)]
    return lease.add_completions(cycle, batch, PROMPT, written, arm=arm)


def settle(lease: Lease, attempt_id: int, accuracy: float, code: str = "") -> None:
    """Lead a candidate through all gates."""
    lease.parsed(attempt_id, candidate(code or f"class Net{attempt_id}: pass\n"))
    lease.validated(attempt_id)
    lease.training(attempt_id)
    lease.trained(attempt_id, replace(evaluation(accuracy / 2, accuracy), trials=()), TASK)
    if accuracy < TASK.threshold:
        lease.refuse(attempt_id, Refusal(Stage.THRESHOLD, f"accuracy {accuracy:.1%}"))
    else:
        lease.judged(attempt_id, replace(NOVEL, nearest=HOSTILE))
        lease.admit(attempt_id)


def whole_cycle(lease: Lease, cycle: int, alarm: str = "") -> list[int]:
    """Four candidates of the loop and two of each control, all settled; the cycle is closed."""
    ids = write(lease, cycle, 0, 4)
    lease.refuse(ids[0], Refusal(Stage.PARSE, HOSTILE, HOSTILE))
    for attempt_id, accuracy in zip(ids[1:], (0.3, 0.5, 0.6), strict=True):
        settle(lease, attempt_id, accuracy)
    for batch, arm in ((1, Arm.BASE), (2, Arm.CORPUS)):
        controls = write(lease, cycle, batch, 2, arm)
        for attempt_id in controls:
            settle(lease, attempt_id, 0.45)
        ids += controls
    lease.spend([Activity(cycle, "training+writing", 300.0, 7.2e5)])
    lease.add_adapter(cycle, adapter(f"demo-c{cycle}"), alarm)
    return ids


class Client:
    """Requests to a server on this machine; `address` is that of its page."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.port = urlsplit(address).port or 0

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request, with headers as given: `Host="…"`, `If_None_Match="…"`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{self.port}", **headers}.items():
            if value:
                connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        return reply, body

    def run(self) -> dict[str, Any]:
        """Return the run's state."""
        reply, body = self.ask("/api/run")
        assert reply.status == 200, body
        return dict(json.loads(body))


class Watched(Client):
    """`nngpt cycle watch` as a process; `address` is what it printed, "" if it has ended."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._process = begin_nngpt(folder, ["cycle", "watch", *arguments])
        self._done: subprocess.CompletedProcess[str] | None = None
        while not self._process.ended and "\n" not in self._process.printed:
            time.sleep(0.01)
        super().__init__(self._process.printed.strip())

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C unless it has ended; return the exit code and the text on stderr."""
        if self._done is None:
            if not self._process.ended:
                self._process.send_signal(signal.SIGINT)
            self._done = self._process.wait(240)
        return self._done.returncode, self._done.stderr


@contextmanager
def watched(folder: Path, *arguments: str) -> Iterator[Watched]:
    """The command as a process, which is stopped in the end."""
    server = Watched(folder, *arguments)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def served(folder: Path, name: str | None = None, port: int = 0) -> Iterator[Client]:
    """The server in a thread of this process: the newest run, or the one with this name."""
    store, database = open_watched(folder / "runs" / DATABASE)
    with store:
        run = store.run(name) if name else store.runs()[-1]
        with WatchServer(Snapshots(store, database, run.id), port) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield Client(server.address)
            finally:
                server.shutdown()
                thread.join()


def open_runs(folder: Path) -> Store:
    """The database of `folder/runs`, made if there is none."""
    return Store.open(folder / "runs" / DATABASE)
