"""The exceptions that nngpt raises on purpose.

    NngptError                 root: one clear line for the user, no traceback
    ├── UserError              the user can fix it; the command line exits with 2
    │   ├── ConfigError        a wrong YAML file or --set value
    │   ├── PluginError        an unknown data set, backend, executor, measure …
    │   ├── DataError          a missing or damaged data set
    │   ├── ModelError         a missing, damaged or unsuitable language model or adapter
    │   ├── StoreError         an unwritable, foreign, newer or locked database
    │   ├── ExtractionRefused  a library's class that cannot become a file of its own
    │   └── AmbiguousName      a class that several modules of libraries define
    ├── LearningFailed         a fine-tuning without a result; the run records why and continues
    ├── BrokenFile             a file or row of LEMUR that cannot be imported; the import continues
    ├── IllegalWriteError      a write that the store forbids: a bug in nngpt
    └── ExecutionError         a fault of nngpt's own sandbox, never of a candidate; exits with 3

    KeyboardInterrupt          not caught by `except Exception`; work is saved first
    ├── TimeLimitReached       the end of `--budget-minutes`
    └── _Terminated            SIGTERM

    Exception                  inside the sandbox; becomes a refusal
    └── RejectedError          a candidate's breach of the contract that raises nothing itself

    ValueError
    └── WireError              a malformed frame from a worker; becomes a refusal

A candidate that fails is not an error: it is a `nngpt.records.Refusal`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import ValidationError


_SHOWN_MISTAKES = 5
_SHOWN_INPUT = 80


class NngptError(Exception):
    """Root of the tree: an error described to the user in one line.

    Attributes:
        what: the fault.
        where: the file, key or object concerned, "" if there is none.
        hint: how the user can fix it, "" if there is no way.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what, self.where, self.hint = what, where, hint
        super().__init__(self.line())

    def line(self) -> str:
        """Return the whole message on one line: `where: what. hint`."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = f"{text}. {self.hint}" if self.hint else text
        return readable(" ".join(text.split()))


class UserError(NngptError):
    """A fault that the user can fix."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration file or `--set` value that cannot be used."""


class PluginError(UserError):
    """An unknown or unusable plug-in."""


class DataError(UserError):
    """A data set that is missing, or whose files are damaged."""


class ModelError(UserError):
    """A language model or adapter that is missing, damaged or does not fit."""


class StoreError(UserError):
    """A database that cannot be opened, written or shared."""


class LearningFailed(NngptError):  # noqa: N818 (an outcome, not a fault)
    """A fine-tuning without a result: no pair fits, or the loss diverged."""


class ExecutionError(NngptError):
    """A fault of nngpt's own executor; never raised for a candidate's mistake."""

    exit_code = 3


def readable(text: str) -> str:
    """Return the text of an error or report with control characters and surrogates escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return an error's hint: `Did you mean 'mnist'?`, or the list of known names.

    A name that is the beginning of known ones means the first of them.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close and len(name) > 2:
        close = [one for one in names if one.startswith(name)]
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}" if names else ""


def shortened(text: str, longest: int) -> str:
    """Return an error's text with the middle cut out if it has more than `longest` characters."""
    head = longest * 2 // 3
    return text if len(text) <= longest else f"{text[:head]} … {text[head + 3 - longest :]}"


def explain(error: ValidationError, model: type[Any] | None, path: str = "") -> str:
    """Describe in one line the first mistakes that Pydantic found.

    Args:
        model: the model, to name known keys; None without such hints.
        path: key path of the model in the configuration, such as "llm.options".
    """
    found = error.errors(include_url=False)
    lines = [_explain_one(item, model, path) for item in found[:_SHOWN_MISTAKES]]
    rest = len(found) - len(lines)
    return "; ".join([*lines, f"and {rest:,} more mistakes"] if rest else lines)


def _explain_one(item: Any, model: type[Any] | None, prefix: str) -> str:
    path = ".".join(map(str, (prefix, *item["loc"]) if prefix else item["loc"]))
    if item["type"] == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), _keys_beside(item["loc"], model))
        return f"unknown key {path!r}. {hint}"
    if item["type"] == "missing":
        return f"the key {path!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    got = shortened(repr(item["input"]), _SHOWN_INPUT)
    given = "" if item["type"] == "value_error" else f" (got {got})"
    return f"{path}: {message}{given}" if path else f"{message}{given}"


def _keys_beside(location: Sequence[int | str], model: Any) -> list[str]:
    """Return the known keys of the section in which a key stands."""
    for part in location[:-1]:
        elements = get_args(model)
        model = elements[0] if elements else model.model_fields[str(part)].annotation
    return list(getattr(model, "model_fields", ()))
