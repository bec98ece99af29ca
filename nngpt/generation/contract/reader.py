"""Read an answer of the LLM in its mode: a candidate or the reason for none; its novelty text.

Reading is total: any text at all gives a `Candidate` or a `Refusal`. Its stages are parse (is
there an answer, is it Python), contract (LEMUR's interface, hyperparameters, transform) and
safety. A candidate's canonical text reads the same again: `read(candidate.written) == candidate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from nngpt.generation import modes
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.candidate import Defaults
from nngpt.generation.contract.network_file import NetworkFile
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task

LONGEST = 200_000
"""Largest number of characters that are read; LEMUR's longest network has 178,375."""


@dataclass(frozen=True)
class Reader:
    """Reads answers to a prompt; parses them, never executes them.

    Attributes:
        task: data set, shapes, threshold and budgets of the networks.
        template: the prompt template, which completes what an answer leaves out.
        prompt: the prompt that is answered; in a run, its prompt without examples of a corpus.
        defaults: hyperparameters, batch size and transform where an answer gives none.
    """

    task: Task
    template: Template
    prompt: Prompt
    defaults: Defaults

    def read(self, text: str) -> Candidate | Refusal:
        """Return the candidate in a completion (the text after the prefill), or a refusal."""
        answer = self.prompt.prefill + text
        fault = _text_fault(answer)
        if fault:
            return Refusal(Stage.PARSE, fault)
        try:
            return modes.load(self.prompt.mode).read(answer, self)
        except (RecursionError, MemoryError):
            return Refusal(Stage.PARSE, "the code is nested too deeply to be read")

    def read_answer(self, text: str, prompt: Prompt) -> Candidate | Refusal:
        """Return the candidate in a completion of `prompt`, made from the same template."""
        return replace(self, prompt=prompt).read(text)

    def read_whole(self, answer: str) -> Candidate | Refusal:
        """Return the network in an answer of `full` mode, such as `Prompt.parent`."""
        return self.read_answer(answer, whole_network(self.prompt))

    def read_file(self, network: NetworkFile) -> Candidate | Refusal:
        """Return the candidate in a user's network file, or a refusal.

        The configuration's hyperparameters hold, then the file's own, then the usual ones.
        """
        known = self.defaults.hyperparameters
        own = {name: value for name, value in network.own.items() if name not in known}
        return self.read_whole(write(Answer(network.code.strip("\n").rstrip(), own)))

    def notes(self, network: NetworkFile) -> list[str]:
        """Return what a file's candidate assumes: how it is built, and usual values."""
        given = self.defaults.hyperparameters.keys() | network.own.keys()
        usual = [
            f"{name} = {value:g}, LEMUR's usual value, as evaluation.hyperparameters has none"
            for name, value in self.defaults.usual.items()
            if name in network.supported - given
        ]
        return [*network.notes, *usual]

    def shown(self) -> dict[str, Candidate | Refusal]:
        """Read the template's own networks; the keys name them in messages."""
        found = {}
        for number, example in enumerate(self.template.examples, 1):
            name, prompt = f"example {number} of the prompt", self.prompt
            if example.parent:
                prompt = replace(prompt, parent=example.parent.strip())
                found[f"{name}, before its change"] = self.read_whole(prompt.parent)
            written = example.assistant.strip().removeprefix(prompt.prefill)
            found[name] = self.read_answer(written, prompt)
        if self.prompt.parent:
            found["the prompt's own network"] = self.read_whole(self.prompt.parent)
        return found

    def examples(self) -> dict[str, Candidate]:
        """Return the template's own networks by name; copies of them are not novel."""
        return {name: c for name, c in self.shown().items() if isinstance(c, Candidate)}


def read(
    text: str, prompt: Prompt, task: Task, template: Template, defaults: Defaults
) -> Candidate | Refusal:
    """Read a completion (the text after the prefill): return its candidate, or a refusal."""
    return Reader(task, template, prompt, defaults).read(text)


def novelty_text(candidate: Candidate) -> str:
    """Return the part of a candidate that the LLM wrote, as the mode's reader finds it.

    Raises: PluginError if the candidate's mode is not installed.
    """
    return modes.load(candidate.mode).novelty_text(candidate)


def whole_network(prompt: Prompt) -> Prompt:
    """Return the prompt for which a `Reader` reads whole network files."""
    return replace(prompt, mode="full", prefill="", stop=(), parent="")


def _text_fault(text: str) -> str:
    """Return why a text cannot be an answer at all, "" if it can."""
    if len(text) > LONGEST:
        return f"the answer has {len(text):,} characters; at most {LONGEST:,} are read"
    if "\0" in text:
        return "the answer is not text: it contains NUL bytes"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the answer is not text: it contains lone surrogates"
    return ""
