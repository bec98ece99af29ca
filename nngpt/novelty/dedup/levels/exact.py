"""The same code, whatever its whitespace: LEMUR's network id."""

from __future__ import annotations

from nngpt.protocols import DedupLevel


class Exact:
    """The whole code is one token, so two networks are alike entirely or not at all."""

    def pieces(self, code: str) -> list[str]:
        """The code."""
        return [code]

    def tokens(self, piece: str) -> list[str]:
        """The code without whitespace."""
        return ["".join(piece.split())]


def create() -> DedupLevel:
    """The level."""
    return Exact()
