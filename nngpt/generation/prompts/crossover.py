"""Questions that show two known networks and ask to take over from one into the other.

`prompt.crossover` is their share. In a mode whose answers are changes, the second network stands
before the question that shows the first; in any other mode both do.
"""

from __future__ import annotations

from dataclasses import replace

from nngpt.generation.prompts.known import KnownNetwork
from nngpt.records import Message, Prompt

_MARK = "This network reached "


def crossed(prompt: Prompt, second: KnownNetwork, shown: str, first: str = "") -> Prompt:
    """Return the prompt whose question shows a second network, with its accuracy.

    Args:
        second: the network to take over from.
        shown: its text.
        first: text of the network to change, "" if the question shows it already.
    """
    *before, last = prompt.messages
    where = f" ({second.dataset})" if second.dataset else ""
    change = f":\n\n{first}" if first else "."
    question = (
        f"{_MARK}{second.accuracy:.1%}{where}:\n\n{shown}\n\n"
        f"Take over from it what may help the next one{change}\n\n{last.content}"
    )
    return replace(prompt, messages=(*before, Message(last.role, question)))


def is_crossed(prompt: Prompt) -> bool:
    """Return True if the prompt's question shows a network to take over from."""
    return prompt.messages[-1].content.startswith(_MARK)
