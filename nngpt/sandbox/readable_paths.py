"""Files that workers may read: Python, its packages and system libraries. Imports no torch."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from nngpt import files

_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system/cpu", "/sys/devices/system/node"),
)
_CUDA = (
    *("/usr/local/cuda", "/usr/local/nvidia", "/sys", "/proc/driver/nvidia"),
    *("/proc/devices", "/proc/cpuinfo", "/proc/meminfo"),
)


def readable_paths(cuda: bool) -> list[str]:
    """Return every folder and file that a worker may read, with links and their targets."""
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    library = str(Path(sys.base_prefix) / "lib")
    own = str(Path(__file__).resolve().parents[1])
    listed = files.environment("LD_LIBRARY_PATH") or "" if cuda else ""
    linked = [folder for folder in listed.split(":") if folder.startswith("/")]
    roots = [*packages, *python, library, own, *linked]
    system = [*_SYSTEM, *(_CUDA if cuda else ())]
    targets = [os.path.realpath(path) for path in [*roots, *system]]
    return sorted({*roots, *system, *targets} - {"/", "/usr"})


def first_readable(paths: Iterable[Path], cuda: bool) -> Path | None:
    """Return the first of `paths` that a worker could read, None if it can read none of them."""
    folders = readable_paths(cuda)
    below = (p for p in paths if any(p.resolve().is_relative_to(folder) for folder in folders))
    return next(below, None)
