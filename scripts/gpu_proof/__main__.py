"""Prove nngpt on a GPU within nine minutes, without network and language model.

    scripts/gpu-proof --pack                      with network: make .carry
    OUT=out scripts/gpu-proof                     on the GPU machine
    DEVICE=cpu OUT=out scripts/gpu-proof --candidates 6 --images 300 --minutes 30

Each part is a process of its own with a time limit. Its rows are printed and written to
$OUT/gpu-proof.md as they come, so that whatever cuts the visit short leaves what was found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HEAD = "| what | result |\n|---|---|\n"


def main() -> None:
    """Pack, run one part, or run all of them."""
    begun = time.monotonic()
    given = _options()
    carry = Path(__file__).parents[2] / ".carry"
    if given.pack:
        from gpu_proof.pack import pack

        pack(carry)
        return
    if given.part:
        _run(given)
        return
    from gpu_proof.pack import unpack

    if (carry / "mnist.tar.gz").exists():
        cache = Path(given.work).with_name("cache")
        unpack(carry, cache)
        os.environ["NNGPT_CACHE"] = str(cache)
    shutil.rmtree(given.work, ignore_errors=True)
    for folder in (given.work, given.out):
        Path(folder).mkdir(parents=True, exist_ok=True)
    _run_all(given, Path(given.out) / "gpu-proof.md", begun + 60 * given.minutes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu-proof",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pack", action="store_true", help="make .carry and end")
    parser.add_argument("--minutes", type=float, default=8.6, help="time limit of all parts")
    parser.add_argument("--candidates", type=int, default=64, help="candidates at each level")
    parser.add_argument("--images", type=int, default=10_000, help="training images of MNIST")
    parser.add_argument("--parts", nargs="*", default=[], help="only these parts, in this order")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--level", default="full", help="sandbox level of single parts")
    parser.add_argument("--slower", type=float, default=1, help="factor of the parts' time limits")
    parser.add_argument("--device", default=os.environ.get("DEVICE", "cuda"))
    parser.add_argument("--out", default=os.environ.get("OUT", "out"))
    temporary = os.environ.get("TMPDIR", "/tmp")
    parser.add_argument(
        "--work", default=f"{temporary}/gpu-proof/work", help="emptied at the start"
    )
    return parser.parse_args()


def _run(given: argparse.Namespace) -> None:
    """Run one part in this process and print its rows."""
    from gpu_proof.parts import PARTS

    work, _ = PARTS[given.part]
    for what, result in work(given):
        print(_row(what, result), flush=True)


def _run_all(given: argparse.Namespace, table: Path, end: float) -> None:
    from gpu_proof.parts import PARTS

    chosen = given.parts or list(PARTS)
    worked: list[str] = []
    table.write_text(HEAD)
    for name in chosen:
        if name == "layers" and "full" in worked and not given.parts:
            continue
        level = name.removeprefix("level-") if name.startswith("level-") else given.level
        if not name.startswith("level-") and worked:
            level = worked[0]
        left = end - time.monotonic()
        if left < 5:
            _add(table, name, "**no time left**")
            continue
        rows = _part(given, name, level, min(PARTS[name][1] * given.slower, left), table)
        if any(": trained" in row and "| 0 of" not in row for row in rows):
            worked.append(level)
    print(table.read_text())


def _part(
    given: argparse.Namespace, name: str, level: str, limit_s: float, table: Path
) -> list[str]:
    """Run a part as a process group, for `limit_s` seconds at most; return its rows."""
    print(f"--- {name}, at most {limit_s:.0f} s", flush=True)
    command = [sys.executable, "-m", "gpu_proof", "--part", name, "--level", level]
    for key in ("device", "work", "candidates", "images"):
        command += [f"--{key}", str(getattr(given, key))]
    begun, rows = time.monotonic(), list[str]()
    last = ""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        timer = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
            if line.startswith("| "):
                rows.append(line)
                with table.open("a") as file:
                    file.write(line)
        status = process.wait()
        timer.cancel()
    seconds = time.monotonic() - begun
    if status:
        why = "its time was over" if status == -signal.SIGKILL else f"{status}: {last[:300]}"
        _add(table, name, f"**ended after {seconds:.0f} s: {why}**")
    print(f"--- {name}: {seconds:.1f} s", flush=True)
    return rows


def _add(table: Path, what: str, result: str) -> None:
    row = _row(what, result)
    print(row, flush=True)
    with table.open("a") as file:
        file.write(f"{row}\n")


def _row(what: str, result: str) -> str:
    """Return a row of the table, on one line."""
    cells = (" ".join(text.replace("|", "/").split()) for text in (what, result))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
