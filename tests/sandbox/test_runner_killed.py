"""When the runner is killed, zygote, lanes, workers and their descendants end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sandbox_samples import HONEST

from nngpt.sandbox import processes

RUNNER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from sandbox_samples import candidate, make_splits, make_task
from nngpt.config import EvaluationConfig
from nngpt.sandbox.executors.local import create
folder = Path({folder!r})
executor = create(make_splits(folder), EvaluationConfig(device="cpu"), make_task())
print("ready", flush=True)
executor.evaluate(candidate((folder / "code.py").read_text()), 1)
"""

# Resists its end as far as the sandbox allows.
LINGERS = """
        import ctypes, os, signal, threading, time
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        for number in range(1, 32):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        try: child = os.fork()
        except OSError: child = 1
        if child == 0: os.setsid()
        threading.Thread(target=time.sleep, args=(600,)).start()
        time.sleep(600)
"""


def test_sigkill_of_the_runner_leaves_nothing(tmp_path: Path) -> None:
    """Runner, waiter of the zygote, zygote, lane, the worker and the waiting worker."""
    (tmp_path / "code.py").write_text(
        HONEST.replace("train_data):\n", f"train_data):\n{LINGERS}", 1)
    )
    here = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    program = RUNNER.format(path=here, folder=str(tmp_path))
    runner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    assert runner.stdout.readline() == "ready\n"
    wait_for(lambda: any(processes.tasks(pid) == 2 for pid in processes.descendants(runner.pid)))
    below = processes.descendants(runner.pid)
    assert len(below) >= 4
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    wait_for(lambda: not any(alive(pid) for pid in below))


def alive(pid: int) -> bool:
    """Return True if the process runs; False for a zombie."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
