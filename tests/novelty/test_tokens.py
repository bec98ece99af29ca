"""Tokens and shingles, with and without Python's lexer."""

from __future__ import annotations

from pathlib import Path

import pytest

from nngpt.novelty import tokens as module
from nngpt.novelty.tokens import jaccard, shingles, tokens

NETWORKS = sorted((Path(__file__).parents[1] / "networks").glob("*.py"))


def test_strings_and_numbers_lose_their_value() -> None:
    source = "x = f(3, 0x1F, 1e-3, 'a', r'''b\nc''')  # why\n"
    assert " ".join(tokens(source)) == "x = f ( NUM , NUM , NUM , STR , STR )"


def test_layout_and_comments_do_not_count() -> None:
    assert tokens("if a:\n    b()\n\n# c\n") == tokens("if a :\n\tb ( )")


def test_an_f_string_is_one_string_on_every_python() -> None:
    assert tokens("x = f'{a + f\"{b}\"} c' + d") == ["x", "=", "STR", "+", "d"]


@pytest.mark.parametrize("source", ["x = (1,\n", "if a:\n        b\n    c\n", "'''", "a $ b ?"])
def test_what_the_lexer_rejects_has_tokens_too(source: str) -> None:
    assert tokens(source)
    assert shingles(source)


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_the_fallback_sees_the_same_tokens(path: Path) -> None:
    source = path.read_text()
    assert list(module._matched(source)) == tokens(source)


def test_shingles_are_runs_of_the_given_width() -> None:
    assert len(shingles("a b c d e", 3)) == 3
    assert len(shingles("a b a b a b", 2)) == 2
    assert len(shingles("a b", 10)) == 1
    assert len(shingles("", 10)) == 1


def test_jaccard_is_shared_over_all() -> None:
    assert jaccard(shingles("a b c", 1), shingles("b c d e", 1)) == 2 / 5
