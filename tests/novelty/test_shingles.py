"""Tokens and shingles, compared with Python's own lexer."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from nngpt.novelty.shingles import jaccard, shingles, tokens

_LAYOUT = {"COMMENT", "NL", "NEWLINE", "INDENT", "DEDENT", "ENDMARKER"}
NETWORKS = sorted((Path(__file__).parents[1] / "networks").glob("*.py"))


def test_strings_and_numbers_lose_their_value() -> None:
    source = "x = f(3, 0x1F, 1e-3, 'a', r'''b\nc''')  # why\n"
    assert " ".join(tokens(source)) == "x = f ( NUM , NUM , NUM , STR , STR )"


def test_layout_and_comments_are_dropped() -> None:
    assert tokens("if a:\n    b()\n\n# c\n") == tokens("if a :\n\tb ( )")


def test_an_f_string_is_one_string_on_every_python() -> None:
    assert tokens("x = f'{a + f\"{b}\"} c' + d") == ["x", "=", "STR", "+", "d"]


@pytest.mark.parametrize("source", ["x = (1,\n", "if a:\n        b\n    c\n", "'''", "a $ b ?"])
def test_text_that_the_lexer_rejects_has_tokens_too(source: str) -> None:
    assert tokens(source)
    assert shingles(source)


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_networks_have_the_tokens_of_the_lexer(path: Path) -> None:
    source = path.read_text()
    assert tokens(source) == list(lexed(source))


def test_every_kind_of_token_agrees_with_the_lexer() -> None:
    source = (
        "async def f(a: int=0b1, *b, c=.5e-3j, **d) -> T[1:2, ...]:\n"
        "    return a<<=1 if not (x:=a//b**c) != d else (a@b, a>>b, ~c, 1_000, 1., 0xF)\n"
        'x |= y ^ z & {\'a\': b\'\\\'\', "b": Rb"""c\n\'"""} \\\n  ; x @= y; x //= 2; x **= 3\n'
        "é = a.b[-1] <= b >= c == d  # 'not a string\n"
    )
    assert tokens(source) == list(lexed(source))


def lexed(source: str) -> Iterator[str]:
    """Return the tokens of Python's lexer, with f-strings (split from 3.12 on) as one STR."""
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("FSTRING_END", "TSTRING_END"):
            depth -= 1
        elif kind in ("FSTRING_START", "TSTRING_START"):
            if depth == 0:
                yield "STR"
            depth += 1
        elif depth == 0 and kind not in _LAYOUT:
            yield {"STRING": "STR", "NUMBER": "NUM"}.get(kind, token.string)


def test_shingles_are_runs_of_the_given_width() -> None:
    assert len(shingles("a b c d e", 3)) == 3
    assert len(shingles("a b a b a b", 2)) == 2
    assert len(shingles("a b", 10)) == 1
    assert len(shingles("", 10)) == 1


def test_jaccard_is_intersection_over_union() -> None:
    assert jaccard(shingles("a b c", 1), shingles("b c d e", 1)) == 2 / 5
