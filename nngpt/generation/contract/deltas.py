"""Reads the answer of `delta` mode: a unified diff against the network that the prompt shows.

The network is in `Prompt.parent` as an answer of `full` mode; its settings hold where the answer
gives no others. The canonical form of a diff follows from what it changes, not from how it was
written, so the LLM learns right line numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nngpt.generation.contract import answers, diffs
from nngpt.generation.contract.answers import Answer
from nngpt.records import Prompt, Refusal, Stage, content_hash

_LANGUAGES = frozenset({"diff", "patch", "udiff"})


@dataclass(frozen=True)
class Delta:
    """A diff that applies.

    Attributes:
        answer: the changed network, with the settings that the answer itself gives.
        canonical: the whole answer.
        parent: the network before, with its settings.
    """

    answer: Answer
    canonical: str
    parent: Answer


def read_delta(text: str, prompt: Prompt) -> Delta | Refusal:
    """Apply the diff in a whole answer to the prompt's network."""
    parent = answers.read(prompt.parent)
    if isinstance(parent, Refusal):
        return replace(parent, reason=f"the prompt shows no network to change: {parent.reason}")
    found = answers.blocks(text)
    diff = next((block for block in found if block.language in _LANGUAGES), None)
    if diff is None:
        return Refusal(Stage.PARSE, "the answer has no ```diff block", answers.opening(text))
    if not diff.closed:
        return replace(answers.CUT_OFF, reason="the answer is cut off: its diff never ends")
    settings = answers.read_settings(found)
    if isinstance(settings, Refusal):
        return settings
    patched = diffs.apply(diff.text, parent.code)
    if isinstance(patched, Refusal):
        return patched
    answer = answers.with_settings(patched.text, settings)
    if isinstance(answer, Refusal):
        return answer
    if content_hash(answer.code) == content_hash(parent.code):
        return Refusal(Stage.PARSE, "the diff changes nothing in the network")
    return Delta(answer, answers.write_diff(patched.diff, answer), parent)
