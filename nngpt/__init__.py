"""A code LLM designs PyTorch networks, nngpt judges them, and the LLM learns from what worked.

The names in `__all__` are the public interface for Python (docs/python.md). Each is imported when
it is first used, so that `import nngpt` takes milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nngpt.api.ask_tell import Asked, AskTell
    from nngpt.api.networks import (
        Duplicate,
        Trained,
        duplicates,
        evaluate,
        extract,
        hyperparameters,
        novelty,
        predict,
    )
    from nngpt.api.runs import Network, Run
    from nngpt.api.searching import search
    from nngpt.errors import ExecutionError, NngptError, UserError
    from nngpt.prediction.hpo.proposal import Proposal
    from nngpt.prediction.predictor import PredictedValue, Prediction
    from nngpt.records import Novelty
    from nngpt.reports.analysis.rows import AttemptRow
    from nngpt.retrieval.extractor import Extraction
    from nngpt.search.result import Found

__version__ = "0.1.0"

__all__ = [
    "AskTell",
    "Asked",
    "AttemptRow",
    "Duplicate",
    "ExecutionError",
    "Extraction",
    "Found",
    "Network",
    "NngptError",
    "Novelty",
    "PredictedValue",
    "Prediction",
    "Proposal",
    "Run",
    "Trained",
    "UserError",
    "__version__",
    "duplicates",
    "evaluate",
    "extract",
    "hyperparameters",
    "novelty",
    "predict",
    "search",
]

_PLACES = {
    "nngpt.api.ask_tell": ("AskTell", "Asked"),
    "nngpt.api.networks": (
        *("Duplicate", "Trained"),
        *("duplicates", "evaluate", "extract"),
        *("hyperparameters", "novelty", "predict"),
    ),
    "nngpt.api.runs": ("Network", "Run"),
    "nngpt.api.searching": ("search",),
    "nngpt.errors": ("ExecutionError", "NngptError", "UserError"),
    "nngpt.prediction.hpo.proposal": ("Proposal",),
    "nngpt.prediction.predictor": ("PredictedValue", "Prediction"),
    "nngpt.records": ("Novelty",),
    "nngpt.reports.analysis.rows": ("AttemptRow",),
    "nngpt.retrieval.extractor": ("Extraction",),
    "nngpt.search.result": ("Found",),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


class CallablePackage(ModuleType):
    """A package whose name is also that of a public function: `nngpt.novelty(…)` calls it."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return _public(self.__name__.rpartition(".")[2])(*arguments, **options)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _public(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _public(name: str) -> Any:
    return getattr(import_module(_MODULES[name]), name)
