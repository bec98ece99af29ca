"""The worker's process: run generated code once, report, and end. Nothing else runs such code.

A worker has training images and labels, and validation images in a secret order. Its reports over
the pipe (phases, a parameter count, logits, failures) are claims, which `nngpt.sandbox.judge`
judges.
"""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from nngpt.sandbox import candidate_module, wire
from nngpt.sandbox.candidate_module import RejectedError
from nngpt.sandbox.candidate_run import CandidateRun, Inputs

_DETAIL = 2000
_OUT_OF_MEMORY = ("can't allocate memory", "std::bad_alloc")


def warm_up(threads: int, device: str, gpu_share: float) -> None:
    """Train a tiny network in the worker, so that no candidate pays for torch's lazy start.

    Args:
        gpu_share: share of the GPU's memory that torch may take, so that honest neighbours fit.
    """
    if device == "cuda":
        torch.cuda.set_per_process_memory_fraction(gpu_share)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    net = net.append(nn.Linear(4 * 6 * 6, 2)).to(device)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        images = torch.ones(4, 1, 8, 8, device=device)
        labels = torch.zeros(4, dtype=torch.int64, device=device)
        loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def main(inputs: Inputs) -> NoReturn:
    """Run the candidate of a job in this worker, report its failure if it fails, and exit."""
    job = json.loads(os.pread(inputs.job, os.fstat(inputs.job).st_size, 0))
    try:
        CandidateRun(job, inputs).work()
    except RejectedError as problem:
        wire.write_facts(inputs.result, rejected=str(problem)[:_DETAIL])
    except BaseException as error:  # noqa: BLE001 (the sandbox boundary)
        wire.write_facts(inputs.result, **_description(error))
    os._exit(0)


def _description(error: BaseException) -> dict[str, Any]:
    """Return an error's type and message, and the last lines of the candidate's that led to it."""
    frames = [
        f"line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name in {f"{candidate_module.NAME}.py", "transform.py"}
    ]
    text = str(error)
    out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return {
        "error": type(error).__name__[:100],
        "message": text[:_DETAIL],
        "where": "\n".join(frames[-3:])[:_DETAIL],
        "memory": out_of_memory or any(words in text for words in _OUT_OF_MEMORY),
    }
