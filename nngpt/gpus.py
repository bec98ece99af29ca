"""This machine's processor and GPUs: which GPU the language model takes, which the sandbox.

A process is pinned to a GPU by CUDA_VISIBLE_DEVICES, set before it uses CUDA. So "cuda" means that
GPU to all code in it, generated code included.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from nngpt import files

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")
_DEV = Path("/dev")
_PREFIXES = ("nvidia", "dxg")

_left: str | None = None


@dataclass(frozen=True)
class Gpu:
    """A GPU that CUDA shows.

    Attributes:
        uuid: its name in CUDA_VISIBLE_DEVICES; "" if the machine has no other.
        node: its device file, such as "/dev/nvidia0"; "" if unknown.
        free_bytes, total_bytes: its memory.
    """

    name: str
    uuid: str
    node: str
    free_bytes: int
    total_bytes: int

    def pin(self) -> None:
        """Make this the only GPU of the process, which must not have used CUDA yet."""
        if self.uuid:
            os.environ[VISIBLE] = self.uuid


def processor() -> str:
    """Return the name of this machine's processor, as the kernel tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).strip()


def found() -> list[Gpu]:
    """Return the GPUs that CUDA shows. It uses every one: call it in a process that then ends."""
    import torch

    if not torch.cuda.is_available():
        return []
    nodes = _nodes()
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        name, uuid = properties.name, f"GPU-{properties.uuid}"
        alone = torch.cuda.device_count() == 1 and not (len(nodes) > 1 and uuid in nodes)
        if alone or " MIG " in name:  # a part of a GPU has another kind of name
            uuid = ""
        gpus.append(Gpu(name, uuid, nodes.get(uuid, ""), *torch.cuda.mem_get_info(index)))
    return gpus


def device_files(gpu: Gpu | None) -> list[str]:
    """Return the device files that a process needs to use `gpu`, without those of other GPUs."""
    every = sorted(str(path) for path in _DEV.iterdir() if path.name.startswith(_PREFIXES))
    if gpu is None or not gpu.node:
        return every
    others = set(_nodes().values()) - {gpu.node}
    return [path for path in every if path not in others]


def take_last() -> None:
    """Take the last of several GPUs for this process and leave the others to the sandbox.

    With one GPU, or once this process has used CUDA, nothing changes.
    """
    import torch

    global _left
    if torch.cuda.is_initialized() or (count := torch.cuda.device_count()) < 2:  # type: ignore[no-untyped-call]
        return
    listed = files.environment(VISIBLE)
    names = listed.split(",")[:count] if listed else [str(index) for index in range(count)]
    *others, os.environ[VISIBLE] = names
    _left = ",".join(others)


def left_to_sandbox() -> str | None:
    """Return CUDA_VISIBLE_DEVICES for the sandbox, None if it is not set."""
    return files.environment(VISIBLE) if _left is None else _left


def _nodes() -> dict[str, str]:
    """Return the device file of each NVIDIA GPU by its UUID; {} if the driver does not list any."""
    nodes = {}
    for path in sorted(_DRIVER.glob("*/information")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        facts = {key.strip(): value.strip() for key, _, value in (x.partition(":") for x in lines)}
        if "GPU UUID" in facts and "Device Minor" in facts:
            nodes[facts["GPU UUID"]] = str(_DEV / f"nvidia{facts['Device Minor']}")
    return nodes
