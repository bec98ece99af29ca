"""Networks with a known accuracy, as a prompt can show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nngpt.errors import ConfigError
from nngpt.generation import contract
from nngpt.generation.pairs import rated_pairs
from nngpt.records import Candidate, Prompt, Refusal, Stage
from nngpt.store import AttemptRecord, Store

Read = Callable[[str, Prompt], Candidate | Refusal]
"""Reads a completion's text as the answer to a prompt."""


@dataclass(frozen=True)
class Known:
    """A network that was trained before.

    Attributes:
        name: for reasons and for a person.
        answer: canonical, with the beginning that the prompt gives.
        accuracy: 0…1.
        measured: where; accuracies measured elsewhere do not compare.
        parent: the network that `answer` changes ("" unless it is a diff).
    """

    name: str
    candidate: Candidate = field(repr=False)
    answer: str = field(repr=False)
    accuracy: float
    measured: str
    parent: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """What likeness is measured on."""
        return contract.novelty_text(self.candidate)


def of_corpus(path: Path, prompt: Prompt, read: Read, where: str) -> list[Known]:
    """The networks of a corpus that carry their accuracy and fit the prompt, each once.

    Raises:
        ConfigError: the file cannot be read, or there is no such network; `where` names the key.
    """
    found: dict[str, Known] = {}
    refused: list[str] = []
    for number, line in enumerate(rated_pairs(path, prompt, where), 1):
        candidate = _canonical(line.pair.completion, line.pair.prompt, prompt, read)
        if isinstance(candidate, Refusal):
            refused.append(candidate.reason)
            continue
        name = f"corpus network {number} ({line.pair.source})"
        answer = prompt.prefill + candidate.written
        known = Known(name, candidate, answer, line.accuracy, f"corpus: {line.dataset}")
        found.setdefault(candidate.content_hash, known)
    if not found:
        why = refused[0] if refused else "no line has an 'accuracy'"
        raise ConfigError(f"it has no network to show ({why})", where=f"{where}: {path}")
    return list(found.values())


def of_run(store: Store, admitted: Sequence[AttemptRecord]) -> list[Known]:
    """What a run has admitted."""
    found = []
    for attempt in admitted:
        candidate, evaluation = attempt.candidate, attempt.evaluation
        if candidate is not None and evaluation is not None:
            asked = store.prompt(attempt.prompt_hash)
            answer = asked.prefill + candidate.written
            key, accuracy = f"attempt {attempt.id}", evaluation.accuracy
            found.append(Known(key, candidate, answer, accuracy, "this run", asked.parent))
    return found


def candidates(networks: Iterable[Known]) -> dict[str, Candidate]:
    """Their candidates by name."""
    return {network.name: network.candidate for network in networks}


def _canonical(written: str, asked: Prompt, prompt: Prompt, read: Read) -> Candidate | Refusal:
    """The candidate in an answer to `asked`, as an answer to `prompt`."""
    found = read(written, asked)
    if isinstance(found, Refusal) or asked.prefill == prompt.prefill:
        return found
    whole = asked.prefill + found.written
    if not whole.startswith(prompt.prefill):
        return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
    return read(whole.removeprefix(prompt.prefill), prompt)
