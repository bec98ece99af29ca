"""Mode `delta`: the LLM writes a unified diff against the network that the prompt shows.

The network is in `Prompt.parent` as an answer of `full` mode; its settings hold where the answer
gives no others. The canonical form of a diff follows from what it changes, not from how it was
written, so the LLM is tuned on correct line numbers.
"""

from __future__ import annotations

from dataclasses import replace

from nngpt.generation.contract import answers, diffs
from nngpt.generation.contract.answers import Answer
from nngpt.generation.contract.candidate import Defaults, full_answer, make_candidate
from nngpt.generation.contract.reader import Reader
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal, Stage, content_hash

_LANGUAGES = frozenset({"diff", "patch", "udiff"})


class DeltaMode(PromptMode):
    """Answers are diffs in a code block, perhaps followed by a JSON block of settings."""

    writes_learn = True
    changes_parent = True

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the prompt's network with the diff applied, or why it does not apply."""
        fixed = reader.defaults.fixed
        parent = answers.read(reader.prompt.parent, fixed)
        if isinstance(parent, Refusal):
            return replace(parent, reason=f"the prompt shows no network to change: {parent.reason}")
        found = _apply(answer.replace("\r\n", "\n").replace("\r", "\n"), parent, fixed)
        if isinstance(found, Refusal):
            return found
        changed, canonical = found
        inherited = replace(
            reader.defaults,
            hyperparameters={**reader.defaults.hyperparameters, **parent.hyperparameters},
            batch=parent.batch or reader.defaults.batch,
            transform=parent.transform or reader.defaults.transform,
        )
        return make_candidate(changed, changed.code + "\n", canonical, reader.prompt, inherited)

    def novelty_text(self, candidate: Candidate) -> str:
        """Return the whole changed file: a small change to a known network is not novel."""
        return candidate.code

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return the whole network as an answer of `full` mode, since no diff leads to it."""
        return full_answer(candidate, defaults)


def create() -> DeltaMode:
    """Return the prompt mode `delta`."""
    return DeltaMode()


def _apply(text: str, parent: Answer, fixed: bool) -> tuple[Answer, str] | Refusal:
    """Apply the diff in an answer; return the changed network and the canonical answer.

    The changed network has the settings that the answer itself gives, none with `fixed`.
    """
    found = answers.blocks(text)
    diff = next((block for block in found if block.language in _LANGUAGES), None)
    if diff is None:
        return Refusal(Stage.PARSE, "the answer has no ```diff block", answers.opening(text))
    if not diff.closed:
        return replace(answers.CUT_OFF, reason="the answer is cut off: its diff never ends")
    settings = answers.Settings() if fixed else answers.read_settings(found)
    if isinstance(settings, Refusal):
        return settings
    patched = diffs.apply(diff.text, parent.code)
    if isinstance(patched, Refusal):
        return patched
    changed = answers.with_settings(patched.text, settings)
    if isinstance(changed, Refusal):
        return changed
    if content_hash(changed.code) == content_hash(parent.code):
        return Refusal(Stage.PARSE, "the diff changes nothing in the network")
    return changed, answers.write_diff(patched.diff, changed)
