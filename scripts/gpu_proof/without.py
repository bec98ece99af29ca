"""Start the sandbox's zygote without some layers: `without.py LAYER,… PROGRAM …`.

For the executor `container`, so that weaker levels and single layers can be tried on a machine
that has all of them. The layers are named as in `nngpt doctor`.
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from nngpt.sandbox import containment
from nngpt.sandbox.layers import landlock, namespaces, seccomp

_PLACES: dict[str, tuple[Any, str]] = {
    "namespaces": (namespaces, "own_processes"),
    "private-files": (namespaces, "private_root"),
    "other-user": (containment.Containment, "_become_nobody"),
    "thread-count": (namespaces, "enter_user_namespace"),
    "rlimits": (containment.Containment, "_set_rlimits"),
    "landlock": (landlock, "restrict"),
    "seccomp": (seccomp, "program"),
}
LAYERS = tuple(_PLACES)
"""Layers that can be left out."""


def main() -> None:
    """Make the named layers fail as if the machine lacked them, and serve as zygote."""
    for layer in sys.argv[1].split(","):
        setattr(*_PLACES[layer], _lack)
    sys.argv = ["zygote", sys.argv[-1]]
    runpy.run_module("nngpt.sandbox.zygote", run_name="__main__")


def _lack(*_: Any) -> None:
    raise OSError("left out")


if __name__ == "__main__":
    main()
