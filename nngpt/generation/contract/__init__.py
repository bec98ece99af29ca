"""From a completion's text to a candidate or a refusal; parses, never executes."""

from nngpt.generation.contract.reading import (
    Defaults,
    as_parent,
    check_transform,
    novelty_text,
    read,
)

__all__ = ["Defaults", "as_parent", "check_transform", "novelty_text", "read"]
