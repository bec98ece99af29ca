"""Mode `full`: the LLM writes the whole network file, and settings as JSON if it likes."""

from __future__ import annotations

from typing import Any

from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import settings_after
from nngpt.generation.contract.blocks import credited
from nngpt.generation.contract.candidate import Defaults, full_answer, make_candidate
from nngpt.generation.contract.reader import Reader
from nngpt.protocols import PromptMode
from nngpt.records import Candidate, Prompt, Refusal


class FullMode(PromptMode):
    """Answers are whole files in a code block, perhaps followed by a JSON block of settings."""

    network_file = False
    writes_learn = True

    def read(self, answer: str, reader: Reader) -> Candidate | Refusal:
        """Return the network in the answer's code block, or why there is none."""
        found = answers.read(answer, reader.defaults.fixed)
        if isinstance(found, Refusal):
            return found
        code = credited(found.code + "\n", reader.prompt)
        canonical = answers.write(found)
        return make_candidate(found, code, canonical, reader.prompt, reader.defaults)

    def known_answer(self, candidate: Candidate, prompt: Prompt, defaults: Defaults) -> str:
        """Return the network as an answer, with the settings that differ from the defaults."""
        return full_answer(candidate, defaults)

    def settings_after(self, answer: str) -> tuple[str, dict[str, Any]] | None:
        """Return the answer up to the end of its code, and the schema of settings for it."""
        return settings_after(answer)


def create() -> FullMode:
    """Return the prompt mode `full`."""
    return FullMode()
