"""Source text as a set of shingles: the papers' view of what makes two networks alike.

Python's lexer gives the tokens; strings become STR and numbers NUM; comments, line ends and
indentation are dropped. A shingle is a run of `width` tokens. Text that the lexer rejects
(inconsistent indentation, an open bracket at the end) is read by one regular expression that
knows the same kinds of token, so every text has shingles.
"""

from __future__ import annotations

import hashlib
import io
import re
import tokenize
from collections.abc import Iterator

_DROPPED = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
)
# From Python 3.12 on an f-string is many tokens; it counts as one STR, as it did before.
_OPENS = {getattr(tokenize, name, None) for name in ("FSTRING_START", "TSTRING_START")}
_CLOSES = {getattr(tokenize, name, None) for name in ("FSTRING_END", "TSTRING_END")}

_TOKEN = re.compile(
    r"(?P<comment>#[^\n]*|\\\n)"
    r"|(?P<string>[rRbBuUfF]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\")"
    r"|[rRbBuUfF]{0,2}(?:'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"))"
    r"|(?P<number>0[xXoObB][\da-fA-F_]+"
    r"|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?)"
    r"|(?P<other>\w+|\*\*=?|//=?|>>=?|<<=?|->|:=|[-+*/%&|^=<>!@]=|\.\.\.|[^\w\s])",
    re.DOTALL,
)


def tokens(source: str) -> list[str]:
    """The tokens of `source`, in order."""
    try:
        return list(_lexed(source))
    except (tokenize.TokenError, SyntaxError):
        return list(_matched(source))


def shingles(source: str, width: int = 10) -> frozenset[int]:
    """The distinct runs of `width` tokens, each as a 64-bit digest.

    Fewer tokens than `width` are one run. Two different runs share a digest with a probability
    below 1e-6 even among millions, so comparing these sets is exact for all purposes.
    """
    parts = tokens(source)
    count = max(1, len(parts) - width + 1)
    runs = {"\0".join(parts[start : start + width]) for start in range(count)}
    return frozenset(map(_digest, runs))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Size of the intersection divided by the size of the union, 0…1."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _lexed(source: str) -> Iterator[str]:
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _CLOSES:
            depth -= 1
        elif token.type in _OPENS:
            if depth == 0:
                yield "STR"
            depth += 1
        elif depth == 0 and token.type not in _DROPPED:
            yield {tokenize.STRING: "STR", tokenize.NUMBER: "NUM"}.get(token.type, token.string)


def _matched(source: str) -> Iterator[str]:
    for match in _TOKEN.finditer(source):
        if match.lastgroup == "string":
            yield "STR"
        elif match.lastgroup == "number":
            yield "NUM"
        elif match.lastgroup == "other":
            yield match[0]


def _digest(run: str) -> int:
    data = run.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
