"""Which networks come from one origin: what LEMUR's names say."""

from __future__ import annotations


def family(name: str) -> str:
    """The name up to its first hyphen: `AlexNet-355f849c-18de-…` is of the family `AlexNet`.

    LEMUR writes hyphens between an origin and what was made of it, and never inside an origin:
    `ga`, `alt`, `ast`, `FractalNet`, `rag` and `rl` are generators of networks, the others
    architectures made by hand. A network that was saved without a prefix is named by its hash
    alone and is a family of its own.
    """
    return name.partition("-")[0] or name


def name_range(family: str) -> tuple[str, str]:
    """Bounds (first, beyond the last) of the family's other names, in the order of UTF-8.

    A look-up by this range and by the name that equals `family` can use an index.
    """
    return f"{family}-", f"{family}."  # "." is the character after "-"
