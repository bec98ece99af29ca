"""The one expected way for an extraction to fail."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.errors import UserError


class ExtractionRefused(UserError):  # noqa: N818 (an outcome, not a fault)
    """A class that cannot be had in a file of its own, for it needs what torch does not bring.

    Attributes:
        names: what could not be resolved, as dotted names, sorted.
    """

    def __init__(self, target: str, names: Sequence[str]) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(
            f"needs {', '.join(self.names)} when it is imported",
            where=target,
            hint="Only torch and the standard library may be imported. "
            "Index the package that defines it as a further source",
        )


class TooLargeError(ExtractionRefused):
    """A class that needs so much of its library that its file would be no block."""

    def __init__(self, target: str, most: int) -> None:
        self.names = ()
        UserError.__init__(
            self,
            f"needs more than {most:,} definitions",
            where=target,
            hint="Extract one of its parts",
        )
