"""From a completion's text to a candidate or a refusal; answers are parsed, never executed."""

from nngpt.generation.contract.candidate import Defaults, check_transform, full_answer
from nngpt.generation.contract.reader import Reader, novelty_text, read, whole_network
from nngpt.generation.contract.run_reader import make_reader

__all__ = [
    "Defaults",
    "Reader",
    "check_transform",
    "full_answer",
    "make_reader",
    "novelty_text",
    "read",
    "whole_network",
]
