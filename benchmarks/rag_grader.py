"""Child process of `rag_targets.py` that imports extracted files where only torch can be imported.

Reads `{"file": …, "name": …}` lines from standard input; for each it forks, imports the file in the
contained fork, and answers one line of JSON. Run with `python -S -I`, and the folder of torch and
its dependencies as the only argument.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
from nngpt.sandbox.layers import landlock, namespaces

LIMIT_S = 60
_HELD = tempfile.TemporaryDirectory(prefix="nngpt-rag-")
SCRATCH = _HELD.name
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/sys/devices/system/cpu"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
)
_DEVICES = ("/dev/null", "/dev/urandom", "/dev/zero")


def main() -> None:
    """Answer requests until standard input ends."""
    sys.path[-1] = sys.argv[1]  # in the place of ours, which an extracted file shall not find
    import torch.fx
    import torch.nn

    torch.set_num_threads(1)
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)


def forked(request: dict[str, str]) -> dict[str, Any]:
    """Return the result for one file, from a contained child process."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            contain([request["file"], *(str(p.resolve()) for p in Path(sys.argv[1]).iterdir())])
            answer = judged(request)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(raw) if raw else {"error": f"died ({status})"}


def contain(folders: Iterable[str]) -> None:
    """Give up everything but reading Python, the system's libraries and `folders`, and scratch.

    For a forked process with one thread. As root it has no network either. Raises: OSError if the
    kernel has no Landlock.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = SCRATCH
    if os.geteuid() == 0:
        namespaces.isolate()
    real = {os.path.realpath(path) for path in (*folders, *sys.path) if path}
    python = {sys.prefix, sys.base_prefix, os.path.realpath(sys.executable)}
    landlock.restrict([*_SYSTEM, *sorted(real | python)], [SCRATCH], _DEVICES)


def judged(request: dict[str, str]) -> dict[str, Any]:
    """Return whether the file imports, and whether its class is an `nn.Module`."""
    import torch.nn

    spec = importlib.util.spec_from_file_location("extracted", request["file"])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["extracted"] = module
    try:
        spec.loader.exec_module(module)
        made = getattr(module, request["name"])
    except BaseException as error:  # noqa: BLE001 (the grader's boundary)
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"module": isinstance(made, type) and issubclass(made, torch.nn.Module)}


if __name__ == "__main__":
    main()
