"""Refuse machines on which candidates cannot be trained or contained, with a hint for the user."""

from __future__ import annotations

import sys
from pathlib import Path

from nngpt.data.splits import Splits
from nngpt.errors import ExecutionError, UserError
from nngpt.sandbox.readable_paths import first_readable
from nngpt.sandbox.zygote_client import ZygoteClient


def refuse_other_systems() -> None:
    """Refuse a machine without Linux. Raises: UserError."""
    if not sys.platform.startswith("linux"):
        what = f"candidates cannot be contained on {sys.platform}"
        hint = "Use Linux (a virtual machine or a container will do)"
        raise UserError(what, where="evaluation.executor", hint=hint)


def has_cuda_driver() -> bool:
    """Return True if this machine has a GPU's device file; without one, torch need not be asked."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def refuse_missing_cuda(device: str) -> None:
    """Refuse a machine without CUDA if the configured `device` is "cuda". Raises: UserError."""
    if device == "cuda":
        hint = "Use evaluation.device=cpu, or install a driver and a CUDA build of torch"
        raise UserError("device 'cuda' is not available", where="evaluation.device", hint=hint)


def refuse_threads(zygote: ZygoteClient, sandbox: str) -> None:
    """Refuse a machine whose zygote has threads, unless "weak" is set. Raises: ExecutionError."""
    if zygote.threads != 1 and sandbox != "weak":
        what = f"the supervisor of the sandbox has {zygote.threads} threads, so forking is unsafe"
        raise ExecutionError(what, hint="Accept it with evaluation.sandbox=weak")


def refuse_exposed_labels(splits: Splits, cuda: bool) -> None:
    """Refuse a machine where workers can read validation or test labels. Raises: UserError."""
    labels = [part.labels for part in (splits.validation, splits.test)]
    if found := first_readable(labels, cuda):
        what = (
            "candidates could read the labels, which are among Python's or the system's libraries"
        )
        raise UserError(what, where=str(found), hint="Set NNGPT_CACHE to a folder elsewhere")


def refuse_missing_images(splits: Splits) -> None:
    """Refuse a data set without images, such as `nasbench201`. Raises: UserError."""
    if not splits.train.count:
        what = f"{splits.name} has no images to train on"
        hint = "Its cells are looked up: use evaluation.executor=nasbench201"
        raise UserError(what, where="evaluation.executor", hint=hint)
