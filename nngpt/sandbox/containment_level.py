"""Containment layers of this machine and the level they add up to: full, standard or weak."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass

from nngpt.errors import UserError
from nngpt.sandbox.containment import Containment, Limits
from nngpt.sandbox.layers import cgroup, kernel, namespaces


@dataclass(frozen=True)
class Layer:
    """One containment layer, by its name in containment levels, such as "landlock".

    Attributes:
        available: True if this machine has it.
        hint: how to make it available; "" if it is.
        required: False for a layer that the level "standard" does without.
    """

    name: str
    available: bool
    hint: str
    required: bool = True


_KERNEL = "Needs Linux 5.13 or newer; or accept less with evaluation.sandbox=weak"
_NAMESPACES = "Allow user namespaces (sysctl user.max_user_namespaces, container settings)"
_HINTS = {
    "cgroup": "Only root, or a user with delegated control groups (systemd), may make them",
    "other-user": "Only root can become another user",
    "session": _KERNEL,
    "namespaces": _NAMESPACES,
    "private-files": _NAMESPACES,
    "thread-count": _NAMESPACES,
    "pdeathsig": _KERNEL,
    "rlimits": "Raise the hard limits of this shell (ulimit -H); or evaluation.sandbox=weak",
    "no-capabilities": _KERNEL,
    "no-new-privs": _KERNEL,
    "landlock": "Needs Linux 5.13 with Landlock switched on (lsm=…); or evaluation.sandbox=weak",
    "seccomp": "Install libseccomp (Debian: libseccomp2) and pyseccomp; or evaluation.sandbox=weak",
    "subreaper": _KERNEL,
    "watch": "Mount /proc; or accept less with evaluation.sandbox=weak",
    "clean-env": "",
    "closed-fds": "Mount /proc; or accept less with evaluation.sandbox=weak",
}
_ROOT_ONLY = frozenset({"cgroup", "other-user"})
REQUIRED = frozenset(_HINTS) - {"namespaces", "private-files", "thread-count"} - _ROOT_ONLY
"""Layers without which the level is "weak"."""


def layers() -> list[Layer]:
    """Return this machine's containment layers, tested in a short-lived process without torch."""
    test = "from nngpt.sandbox import containment_level; containment_level._print_missing()"
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {test}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    missing = set(_HINTS) - {"clean-env"} if done.returncode else set(json.loads(done.stdout))
    return [
        Layer(name, name not in missing, hint if name in missing else "", name in REQUIRED)
        for name, hint in _HINTS.items()
    ]


def level(missing: Collection[str], sandbox: str) -> str:
    """Return the containment level of workers that lack `missing`, e.g. "full: session, …".

    "full" has every layer except those that need root, "standard" every required one, "weak" fewer.

    Raises: UserError if the level is below `sandbox` ("full", "standard" or "weak").
    """
    required = [name for name in missing if name in REQUIRED]
    lacking = [name for name in missing if name not in _ROOT_ONLY]
    refused = {"full": lacking, "standard": required}.get(sandbox, [])
    if refused:
        what, hint = f"the sandbox lacks: {', '.join(refused)}", _HINTS[refused[0]]
        raise UserError(what, where="evaluation.sandbox", hint=hint)
    name = "weak" if required else "standard" if lacking else "full"
    return f"{name}: {', '.join(layer for layer in _HINTS if layer not in missing)}"


def _print_missing() -> None:
    missing = [] if os.path.isdir("/proc/self/fd") else ["closed-fds", "watch"]  # noqa: PTH112
    try:
        kernel.adopt_orphans()
    except (OSError, AttributeError):
        missing.append("subreaper")
    print(json.dumps(missing + _missing_in_worker()))


def _missing_in_worker() -> list[str]:
    """Contain a child process as a worker is contained; return the layers that it lacks."""
    reading, writing = os.pipe()
    namespaced, group = False, None
    with contextlib.suppress(OSError):
        namespaces.own_processes()
        namespaced = True
    with contextlib.suppress(OSError):
        group = cgroup.Group(os.getpid(), 0, 1 << 32, 64)
    if (pid := os.fork()) == 0:
        trial = Containment(Limits(1 << 30, cpu_s=60, processes=8, cuda=False), namespaced)
        os.write(writing, json.dumps(trial.enter(group)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as reader:
        text = reader.read()
    os.waitpid(pid, 0)
    if group is not None:
        group.remove()
    return json.loads(text) if text else [name for name in _HINTS if name != "clean-env"]
