"""A code LLM designs PyTorch networks, nngpt judges them, and the LLM learns from what worked.

The names in `__all__` are the public interface for Python. Each is imported when
it is first used, so that `import nngpt` takes milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nngpt.api.ask_tell import Asked, AskTell
    from nngpt.api.runs import Network, Run
    from nngpt.errors import ExecutionError, NngptError, UserError
    from nngpt.reports.analysis.rows import AttemptRow

__version__ = "0.1.0"

__all__ = [
    "AskTell",
    "Asked",
    "AttemptRow",
    "ExecutionError",
    "Network",
    "NngptError",
    "Run",
    "UserError",
    "__version__",
]

_PLACES = {
    "nngpt.api.ask_tell": ("AskTell", "Asked"),
    "nngpt.api.runs": ("Network", "Run"),
    "nngpt.errors": ("ExecutionError", "NngptError", "UserError"),
    "nngpt.reports.analysis.rows": ("AttemptRow",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _public(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _public(name: str) -> Any:
    return getattr(import_module(_MODULES[name]), name)
