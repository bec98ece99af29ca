"""Parse YAML that a user wrote: plain, without tags, and bounded in size and depth."""

from __future__ import annotations

from typing import Any

import yaml

from nngpt.errors import ConfigError

LARGEST = 256 << 10
"""Bound of a YAML file in bytes."""

_DEEPEST, _MOST_NODES = 50, 10_000
"""Bounds of a text: levels, and values after expanding aliases."""


def parse(text: str, where: str) -> Any:
    """Return what a text holds. Raises: ConfigError, at `where`."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(f"not valid YAML: {error}", where=where) from None


class _Loader(yaml.SafeLoader):
    """Loader of settings: plain YAML, bounded in depth and in size with its aliases expanded.

    Tags and dates are not used in settings: a tag is refused, and a date stays a text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (as in the base class)
        first: [one for one in known if not one[0].endswith(":timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str | None, int] = {}

    def get_event(self) -> Any:
        """Return the next event. Raises: YAMLError if the document is too large or deep."""
        event: Any = super().get_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            self._sizes[anchor] = self._nodes - before
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in self._open):
                raise yaml.YAMLError(f"*{event.anchor} contains itself")
            self._nodes += self._sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.NodeEvent):
            self._check(event)
            self._nodes += 1
            if isinstance(event, yaml.CollectionStartEvent):
                self._open.append((event.anchor, self._nodes - 1))
        if len(self._open) > _DEEPEST or self._nodes > _MOST_NODES:
            bounds = f"{_DEEPEST} levels or {_MOST_NODES:,} values"
            raise yaml.YAMLError(f"more than {bounds}, aliases expanded")
        return event

    def _check(self, event: Any) -> None:
        if event.tag is not None:
            raise yaml.YAMLError(f"the tag {event.tag} is not supported")
        if "\0" in getattr(event, "value", ""):
            raise yaml.YAMLError("a text holds the character NUL")

    def construct_whole(self, node: Any) -> int:
        """Return an integer. Raises: ValueError if it does not fit 64 bits."""
        number = int(self.construct_yaml_int(node))
        if not -(2**63) <= number < 2**63:
            raise ValueError("an integer does not fit 64 bits")
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)
