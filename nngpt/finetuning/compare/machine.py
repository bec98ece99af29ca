"""What a comparison ran on, so that its figures can be repeated."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from nngpt import __version__

_PACKAGES = ("torch", "transformers", "peft", "scipy")


def now() -> str:
    """The time, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine() -> Mapping[str, Any]:
    """Processor, cores that we may use, GPU if there is one, and versions."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {"nngpt": __version__, "python": platform.python_version()}
    return {
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": gpu,
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).strip()
