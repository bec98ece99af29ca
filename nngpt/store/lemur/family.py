"""Families of networks, from LEMUR's naming scheme."""

from __future__ import annotations


def family(name: str) -> str:
    """Return the network's family, its name up to the first hyphen: `AlexNet` for `AlexNet-355f…`.

    LEMUR puts a hyphen after an architecture or generator and never inside its name: `ga`, `alt`,
    `ast`, `FractalNet`, `rag` and `rl` are generators of networks, all others are architectures
    made by hand. A network named by its hash alone is a family of its own.
    """
    return name.partition("-")[0] or name


def name_range(family: str) -> tuple[str, str]:
    """Return the bounds [first, last) of the family's hyphenated names, in UTF-8 order.

    A query for this range, or for the name that equals `family`, can use an index.
    """
    return f"{family}-", f"{family}."  # "." is the character after "-"
