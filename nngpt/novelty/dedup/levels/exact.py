"""Compare code without white space, as LEMUR's network id does."""

from __future__ import annotations

from nngpt.protocols import DedupLevel


class Exact:
    """Treat the whole code as one token, so two networks are equal or not at all similar."""

    def pieces(self, code: str) -> list[str]:
        """Return the code as one piece."""
        return [code]

    def tokens(self, piece: str) -> list[str]:
        """Return the code without white space as one token."""
        return ["".join(piece.split())]


def create() -> DedupLevel:
    """Create the exact dedup level: code without white space."""
    return Exact()
