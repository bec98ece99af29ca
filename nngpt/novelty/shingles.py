"""Source text as a set of token shingles, and the Jaccard similarity of two sets.

One regular expression finds the tokens of Python's lexer. Strings become STR and numbers NUM;
comments, line ends and indentation are dropped. Both agree token by token on every network of LEMUR
that the lexer accepts, but the expression is several times quicker, reads any text, and does not
change with Python's version. A shingle is a run of `width` tokens.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable

_TOKEN = re.compile(
    r"(?P<comment>#[^\n]*|\\\n)"
    r"|(?P<string>[rRbBuUfF]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\")"
    r"|[rRbBuUfF]{0,2}(?:'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"))"
    r"|(?P<number>0[xXoObB][\da-fA-F_]+"
    r"|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?[jJ]?)"
    r"|(?P<other>\w+|\*\*=?|//=?|>>=?|<<=?|->|:=|[-+*/%&|^=<>!@]=|\.\.\.|[^\w\s])",
    re.DOTALL,
)


def tokens(source: str, literals: bool = False) -> list[str]:
    """Return the lexer tokens of source text, in order; `literals` keeps strings and numbers."""
    found = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind == "other" or (literals and kind != "comment"):
            found.append(match[0])
        elif kind != "comment":
            found.append("STR" if kind == "string" else "NUM")
    return found


def shingles(source: str, width: int = 10) -> frozenset[int]:
    """Return the set of a text's runs of `width` tokens, each as a 64-bit digest.

    A text with fewer tokens is one run. Two different runs share a digest with a probability below
    1e-6 even among millions, so comparisons of these sets are exact in practice.
    """
    parts = tokens(source)
    count = max(1, len(parts) - width + 1)
    runs = {"\0".join(parts[start : start + width]) for start in range(count)}
    return frozenset(map(digest, runs))


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    """Return the Jaccard similarity of two frozensets of shingles, 0…1."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def near_duplicate(similarity: float, threshold: float) -> bool:
    """Decide whether two sets of shingles with this Jaccard similarity are near-duplicates.

    The only rule: above the threshold, not at it, as in the papers; equal sets always are.
    """
    return similarity > threshold or similarity == 1


def text_similarity(width: int) -> Callable[[str, str], float]:
    """Return a function for the Jaccard similarity of two texts, 0…1, with a cache of shingles."""
    shingled = functools.cache(functools.partial(shingles, width=width))
    return lambda one, other: jaccard(shingled(one), shingled(other))


def digest(text: str) -> int:
    """Return the 64-bit BLAKE2b digest of a shingle's text."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
