"""Hostile networks that concern a device; an honest one trains beside each of them.

A line of code says what happened by an error, which is part of the refusal.
"""

from __future__ import annotations

import subprocess
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from sandbox_samples import HONEST

from gpu_proof.networks import opened
from nngpt.records import Candidate, Evaluation, Refusal

LIMIT_S = 8
_MEMORY_MB = 3000
_NEAR_MIB = 64
_WAIT_S = 10

ATTACKS = {
    "takes all memory of the device": (
        """
kept = []
for _ in range(256):
    kept.append(torch.ones(1 << 30, dtype=torch.uint8, device=DEVICE))
raise RuntimeError("the attack worked")
""",
        "out of memory",
    ),
    "never ends on the device": (
        """
if DEVICE == "cuda":
    held = torch.ones(1 << 30, dtype=torch.uint8, device=DEVICE)
    torch.cuda._sleep(1 << 60)
    torch.cuda.synchronize()
while True:
    pass
""",
        "seconds",
    ),
    "pins host memory": (
        """
kept = []
for _ in range(12):
    kept.append(torch.ones(1 << 30, dtype=torch.uint8, pin_memory=DEVICE == "cuda"))
import time
time.sleep(1)
raise RuntimeError("the attack worked")
""",
        "memory",
    ),
    "opens device files": (
        """
import os
opened = []
for name in ["mem", "kmsg", "vda", "sda", "kvm", *(f"nvidia{n}" for n in range(1, 8))]:
    try:
        os.open(f"/dev/{name}", os.O_RDWR)
        opened.append(name)
    except OSError:
        pass
raise RuntimeError(f"opened: {opened}")
""",
        "opened: []",
    ),
    "leaves a mark in the device's memory": (
        """
mark = torch.full((1 << 30,), 165, dtype=torch.uint8, device=DEVICE)
if DEVICE == "cuda":
    torch.cuda.synchronize()
raise RuntimeError("marked")
""",
        "marked",
    ),
    "looks for that mark": (
        """
torch.use_deterministic_algorithms(False)  # else torch fills new memory
unwritten = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE)
found = sum(int(torch.count_nonzero(part == 165)) for part in unwritten.split(1 << 26))
raise RuntimeError(f"found {found} bytes")
""",
        "found 0 bytes",
    ),
}
"""Code and a part of the expected refusal by what it does."""


def attacks(given: Namespace) -> Iterator[tuple[str, str]]:
    """Yield a row for each attack, and one on the device's memory after the kills."""
    limits = f"evaluation.limit_s={LIMIT_S}", f"evaluation.memory_mb={_MEMORY_MB}"
    with opened(given, None, "evaluation.workers=2", *limits) as executor:
        honest = _network("")
        with ThreadPoolExecutor(2) as threads:  # both lanes open
            alone, _ = threads.map(lambda _: executor.evaluate(honest, 1), range(2))
        if isinstance(alone, Refusal):
            yield "an honest network", f"**refused**: {alone.reason}"
            return
        yield "an honest network", f"{alone.accuracy:.1%}"
        time.sleep(3)  # the next workers warm up
        before = used_mib(given.device)
        for name, (code, expected) in ATTACKS.items():
            with ThreadPoolExecutor(2) as threads:
                attack = threads.submit(executor.evaluate, _network(code, given.device), 1)
                beside = threads.submit(executor.evaluate, honest, 1).result()
                outcome = attack.result()
            text = outcome.reason if isinstance(outcome, Refusal) else "**was trained**"
            right = expected in f"{text} {getattr(outcome, 'detail', '')}"
            same = isinstance(beside, Evaluation) and beside.accuracy == alone.accuracy
            neighbour = "its neighbour unharmed" if same else f"**neighbour: {_short(beside)}**"
            yield (
                f"attack: {name}",
                f"{'' if right else '**not as expected**: '}{text}; {neighbour}",
            )
        yield "device memory after the attacks", _memory_row(given.device, before)


def _memory_row(device: str, before: int | None) -> str:
    if before is None:
        return "not measured without a GPU"
    began = time.monotonic()
    while (now := used_mib(device) or 0) > before + _NEAR_MIB:
        if time.monotonic() > began + _WAIT_S:
            return f"**{now:,} MiB, {before:,} MiB before them**"
        time.sleep(0.2)
    return f"{now:,} MiB after {time.monotonic() - began:.1f} s, {before:,} MiB before them"


def used_mib(device: str) -> int | None:
    """Return the memory in use on the first GPU in MiB, None on a CPU."""
    if device == "cpu":
        return None
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])


def _network(attack: str, device: str = "cpu") -> Candidate:
    code = f"DEVICE = {device!r}\n{HONEST.replace('class Net', attack + chr(10) + 'class Net')}"
    return Candidate(code, code, "full", {"lr": 0.01, "momentum": 0.9}, "norm", 64)


def _short(outcome: Evaluation | Refusal) -> str:
    return outcome.reason if isinstance(outcome, Refusal) else f"{outcome.accuracy:.1%}"
