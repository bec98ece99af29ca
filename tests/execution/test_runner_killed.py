"""A runner that is killed takes zygote, worker and everything below along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from execution_samples import HONEST

from nngpt.execution import processes

RUNNER = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = {path!r}
from execution_samples import candidate, make_splits, make_task
from nngpt.config import EvaluationConfig
from nngpt.execution.local import create
executor = create(make_splits(Path({folder!r})), EvaluationConfig(device="cpu"), make_task())
print(executor._zygote._scratch, flush=True)
executor.evaluate(candidate(Path({code!r}).read_text()), 1)
"""

LINGERS = """
        import ctypes, os, time
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        if os.fork() == 0:
            os.setsid()
            os.fork()
        time.sleep(600)
"""


def test_sigkill_of_the_runner_leaves_nothing(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text(HONEST.replace("train_data):\n", f"train_data):\n{LINGERS}", 1))
    here = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    program = RUNNER.format(path=here, folder=str(tmp_path), code=str(code))
    runner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    scratch = Path(runner.stdout.readline().strip())
    wait_for(lambda: len(processes.descendants(runner.pid)) == 4)
    below = processes.descendants(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    runner.stdout.close()
    wait_for(lambda: not any(alive(pid) for pid in below))
    wait_for(lambda: not scratch.exists())


def alive(pid: int) -> bool:
    """False also for a zombie that init has not reaped yet."""
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
