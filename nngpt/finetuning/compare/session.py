"""One start of a comparison: write and judge what a folder still lacks."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from nngpt import __version__, plugins
from nngpt.finetuning.compare.arms import ComparedArm, shared_settings
from nngpt.finetuning.compare.executors import Executors
from nngpt.finetuning.compare.generation import OnProgress, unwritten, write
from nngpt.finetuning.compare.judge import judge
from nngpt.finetuning.compare.records import CHECK, Session
from nngpt.finetuning.compare.samples import Samples
from nngpt.records import derive_seed

_PACKAGES = ("torch", "transformers", "peft", "scipy")


def run_session(
    executors: Executors,
    arms: Sequence[ComparedArm],
    folder: Path,
    wanted: int,
    how: str,
    command: str,
    on_progress: OnProgress,
) -> None:
    """Write and judge the answers that are missing in a folder, and record the session.

    Args:
        wanted: number of answers of each arm to each prompt.
        how: `CHECK`, `TRAIN`, or "" to run nothing.

    Raises:
        UserError: the folder holds a comparison with other settings, or is in use.
        ModelError: an adapter does not fit, or the model fails.
        ExecutionError: the sandbox does not start.
    """
    settings = executors.settings
    seeds = partial(derive_seed, settings.seed)
    with Samples(folder) as record:
        record.agree(shared_settings(settings), [arm.facts for arm in arms])
        prompts = {arm.name: {a.key: a.tasks for a in arm.prompts} for arm in arms}
        started = datetime.now(UTC).isoformat(timespec="seconds")
        tasks = tuple(executors.tasks)
        record.append([Session(started, command, wanted, how, tasks, prompts, machine())])
        if unwritten(record, arms, wanted):
            wants = settings.llm
            made = plugins.create("LLM backend", wants.backend, wants, options=wants.options)
            with closing(made) as llm:
                mode = arms[0].facts.mode
                executors.log(f"Writing: {llm.facts}, {mode} mode, {llm.batch_size} at a time")
                write(record, arms, llm, wanted, seeds, on_progress)
        if how:
            opened = executors.noise if how == CHECK else executors.images
            judge(record, arms, how, tasks, opened, wanted, seeds, on_progress)


def machine() -> Mapping[str, Any]:
    """Return processor, usable cores, GPU (None without one) and versions."""
    import torch

    versions = {"nngpt": __version__, "python": platform.python_version()}
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).strip()
