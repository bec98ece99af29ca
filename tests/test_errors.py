"""The exception tree: its drawing, its one-line messages, its exit codes."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import pytest

from nngpt import errors
from nngpt.errors import ConfigError, ExecutionError, NngptError, UserError, nearest

PACKAGE = Path(errors.__file__).parent
NODE = re.compile(r"^ {4}((?:[│ ] {3})*)([├└]── )?(\w+)(?: |$)")


def drawn() -> dict[str, str | None]:
    """Return each class of the drawing with the class above it."""
    found: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := NODE.match(line):
            depth = len(match[1]) // 4 + 1 if match[2] else 0
            above[depth:] = [match[3]]
            found[match[3]] = above[depth - 1] if depth else None
    return found


def defined() -> dict[str, str]:
    """Return each exception class of the package with its base class."""
    texts = (file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    found = [pair for text in texts for pair in re.findall(r"^class (\w+)\((.*?)\):", text, re.M)]
    bases = {name: base for name, listed in found for base in listed.split(", ")}

    def is_exception(name: str) -> bool:
        kind = getattr(builtins, name, None)
        return issubclass(kind, BaseException) if kind else is_exception(bases.get(name, "object"))

    return {name: base for name, base in bases.items() if is_exception(base)}


def test_the_tree_is_drawn_in_full() -> None:
    tree = {name: base for name, base in drawn().items() if base is not None}
    assert tree == {k: v for k, v in defined().items() if k != "NngptError"}
    roots = {name for name, base in drawn().items() if base is None}
    assert roots == {"NngptError", "KeyboardInterrupt", "Exception", "ValueError"}


def test_a_message_is_one_line() -> None:
    error = ConfigError("is\nwrong", where="file: key", hint="Fix it.")
    assert error.line() == "file: key: is wrong. Fix it."
    assert str(UserError("is wrong")) == "is wrong"


@pytest.mark.parametrize(("kind", "code"), [(ConfigError, 2), (UserError, 2), (ExecutionError, 3)])
def test_exit_codes(kind: type[NngptError], code: int) -> None:
    assert kind("x").exit_code == code


def test_nearest() -> None:
    assert nearest("minst", ["mnist", "svhn"]) == "Did you mean 'mnist'?"
    assert nearest("zzz", ["b", "a"]) == "Known: a, b"
    assert nearest("zzz", []) == ""
