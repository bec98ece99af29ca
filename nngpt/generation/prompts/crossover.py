"""Questions that show two known networks and ask to take over from one into the other.

`prompt.crossover` is their share. In a mode whose answers are changes, the second network stands
before the question that shows the first; in any other mode both do.
"""

from __future__ import annotations

import re

from nngpt.generation.prompts.known import KnownNetwork
from nngpt.generation.prompts.template import asking
from nngpt.records import Prompt

_MARK = "This network reached "
_MARKED = re.compile(rf"^{_MARK}\d", re.MULTILINE)


def crossed(prompt: Prompt, second: KnownNetwork, shown: str, first: str = "") -> Prompt:
    """Return the prompt whose question shows a second network, with its accuracy.

    Args:
        second: the network to take over from.
        shown: its text.
        first: text of the network to change, "" if the question shows it already.
    """
    where = f" ({second.dataset})" if second.dataset else ""
    change = f":\n\n{first}" if first else "."
    question = (
        f"{_MARK}{second.accuracy:.1%}{where}:\n\n{shown}\n\n"
        f"Take over from it what may help the next one{change}\n\n"
    )
    return asking(prompt, question + prompt.messages[-1].content)


def is_crossed(prompt: Prompt) -> bool:
    """Return True if the prompt's question shows a network to take over from."""
    return _MARKED.search(prompt.messages[-1].content) is not None
