"""Networks with a measured accuracy, read from a corpus or a run, that prompts can show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nngpt.errors import ConfigError
from nngpt.generation import contract
from nngpt.generation.pairs import rated_pairs
from nngpt.records import Candidate, Prompt, Refusal, Stage
from nngpt.store import AttemptRecord, Store

ReadAnswer = Callable[[str, Prompt], Candidate | Refusal]
"""Reads a completion of a prompt (`Reader.read_answer`)."""


@dataclass(frozen=True)
class KnownNetwork:
    """A network whose accuracy has been measured.

    Attributes:
        name: name for refusal reasons and the log.
        candidate: the network.
        answer: its canonical answer, prefill included.
        accuracy: measured accuracy, 0…1.
        measured: measurement setting; accuracies of different settings do not compare.
        parent: the network that `answer` changes ("" unless the answer is a diff).
    """

    name: str
    candidate: Candidate = field(repr=False)
    answer: str = field(repr=False)
    accuracy: float
    measured: str
    parent: str = field(default="", repr=False)

    @property
    def text(self) -> str:
        """Code on which similarity is measured."""
        return contract.novelty_text(self.candidate)


def from_corpus(path: Path, prompt: Prompt, read: ReadAnswer, where: str) -> list[KnownNetwork]:
    """Read the networks of a corpus that carry an accuracy and can answer `prompt`, each once.

    Raises:
        ConfigError: the file cannot be read, or it has no such network; `where` names the key.
    """
    found: dict[str, KnownNetwork] = {}
    refused: list[str] = []
    for number, line in enumerate(rated_pairs(path, prompt, where), 1):
        candidate = _as_answer_to(prompt, line.pair.completion, line.pair.prompt, read)
        if isinstance(candidate, Refusal):
            refused.append(candidate.reason)
            continue
        name = f"corpus network {number} ({line.pair.source})"
        answer = prompt.prefill + candidate.written
        known = KnownNetwork(name, candidate, answer, line.accuracy, f"corpus: {line.dataset}")
        found.setdefault(candidate.content_hash, known)
    if not found:
        why = refused[0] if refused else "no line has an 'accuracy'"
        raise ConfigError(f"it has no network to show ({why})", where=f"{where}: {path}")
    return list(found.values())


def from_run(store: Store, admitted: Sequence[AttemptRecord]) -> list[KnownNetwork]:
    """Return the admitted networks of a run."""
    found = []
    for attempt in admitted:
        candidate, evaluation = attempt.candidate, attempt.evaluation
        if candidate is not None and evaluation is not None:
            prompt = store.prompt(attempt.prompt_hash)
            answer = prompt.prefill + candidate.written
            name, accuracy = f"attempt {attempt.id}", evaluation.accuracy
            found.append(KnownNetwork(name, candidate, answer, accuracy, "this run", prompt.parent))
    return found


def candidates(networks: Iterable[KnownNetwork]) -> dict[str, Candidate]:
    """Return the networks' candidates by name."""
    return {network.name: network.candidate for network in networks}


def _as_answer_to(
    prompt: Prompt, completion: str, answered: Prompt, read: ReadAnswer
) -> Candidate | Refusal:
    """Read a completion of the prompt `answered` as an answer to `prompt`."""
    found = read(completion, answered)
    if isinstance(found, Refusal) or answered.prefill == prompt.prefill:
        return found
    whole = answered.prefill + found.written
    if not whole.startswith(prompt.prefill):
        return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
    return read(whole.removeprefix(prompt.prefill), prompt)
