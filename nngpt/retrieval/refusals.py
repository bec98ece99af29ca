"""Expected failures of an extraction."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.errors import UserError


class ExtractionRefused(UserError):  # noqa: N818 (an outcome, not a fault)
    """A class that needs a package other than torch when it is imported.

    Attributes:
        names: sorted dotted names that could not be resolved.
    """

    def __init__(self, target: str, names: Sequence[str]) -> None:
        self.names = tuple(sorted(set(names)))
        super().__init__(
            f"needs {', '.join(self.names)} when it is imported",
            where=target,
            hint="Only torch and the standard library may be imported. "
            "Index the package that defines the name as a further source",
        )


class TooLargeError(ExtractionRefused):
    """A class that needs too much of its library to be a block."""

    def __init__(self, target: str, most: int) -> None:
        self.names = ()
        UserError.__init__(
            self,
            f"needs more than {most:,} definitions",
            where=target,
            hint="Extract one of its parts",
        )
