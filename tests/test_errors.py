"""The exception tree: its drawing, its one-line messages, its exit codes."""

from __future__ import annotations

import inspect

import pytest

from nngpt import errors
from nngpt.errors import ConfigError, ExecutionError, NngptError, UserError, nearest


def test_the_tree_is_drawn_in_full() -> None:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
    tree = [c for c in classes if issubclass(c, NngptError)]
    assert errors.__doc__ is not None
    assert [c.__name__ for c in tree if c.__name__ not in errors.__doc__] == []


def test_a_message_is_one_line() -> None:
    error = ConfigError("is\nwrong", where="file: key", hint="Mend it.")
    assert error.line() == "file: key: is wrong. Mend it."
    assert str(UserError("is wrong")) == "is wrong"


@pytest.mark.parametrize(("kind", "code"), [(ConfigError, 2), (UserError, 2), (ExecutionError, 3)])
def test_exit_codes(kind: type[NngptError], code: int) -> None:
    assert kind("x").exit_code == code


def test_nearest() -> None:
    assert nearest("minst", ["mnist", "svhn"]) == "Did you mean 'mnist'?"
    assert nearest("zzz", ["b", "a"]) == "Known: a, b"
    assert nearest("zzz", []) == ""
