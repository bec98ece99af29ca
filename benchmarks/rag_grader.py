"""Child of `rag_targets.py`: imports extracted files where only torch can be imported.

Reads `{"file": …, "name": …}` lines from standard input; for each it forks, imports the file in
the fork, and answers one line of JSON. Run with `python -S -I`, the folder of torch and of what
torch needs as its only argument.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import sys
from typing import Any

LIMIT_S = 60


def main() -> None:
    """Answer requests until standard input ends."""
    sys.path.append(sys.argv[1])
    import torch.fx
    import torch.nn

    torch.set_num_threads(1)
    print(json.dumps({"ready": torch.__version__}), flush=True)
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)


def forked(request: dict[str, str]) -> dict[str, Any]:
    """The verdict of a child process about one file."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            answer = judged(request)
        os.write(write, json.dumps(answer).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(raw) if raw else {"error": f"died ({status})"}


def judged(request: dict[str, str]) -> dict[str, Any]:
    """Whether the file imports, and whether its class is an `nn.Module`."""
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
