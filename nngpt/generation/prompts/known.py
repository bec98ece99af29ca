"""Known networks with a measured accuracy, from a corpus or a run, and which a prompt shows."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.generation import contract, modes
from nngpt.generation.contract.reader import Reader, whole_network
from nngpt.generation.pairs import rated_pairs
from nngpt.protocols import Log
from nngpt.records import Candidate, Prompt, Refusal, Stage
from nngpt.store import AttemptRecord, Store

Similarity = Callable[[str, str], float]
"""Similarity of two networks' texts, 0…1."""


@dataclass(frozen=True)
class KnownNetwork:
    """A known network: one whose accuracy has been measured.

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


def read_pool(config: Config, reader: Reader, log: Log) -> list[KnownNetwork]:
    """Read the known networks of the corpus that prompts may show or ask to change.

    Raises:
        ConfigError: the corpus is missing or cannot be read, or none of its networks can be shown.
    """
    wanted = config.prompt.shots_from in ("corpus", "both")
    path, key, prompt = config.prompt.corpus, "prompt.corpus", reader.prompt
    if modes.load(prompt.mode).changes_parent:
        if wanted:
            what = f"a corpus holds whole networks, and examples of {prompt.mode} mode are changes"
            raise ConfigError(what, where="prompt.shots_from", hint="Use admitted or template.")
        wanted, prompt = path is not None, whole_network(prompt)
    elif wanted and path is None:
        path, key = config.learning.corpus, "learning.corpus"
    if not wanted:
        return []
    if path is None:
        raise ConfigError(
            "not set, and examples are to come from it",
            where="prompt.corpus",
            hint="Build one: nngpt corpus build, or set prompt.shots_from: admitted.",
        )
    pool = _from_corpus(path, prompt, reader, key)
    log(f"Prompt: {len(pool):,} networks of {path} can be shown")
    return pool


def _from_corpus(path: Path, prompt: Prompt, reader: Reader, where: str) -> list[KnownNetwork]:
    """Read the known networks of a corpus that have an accuracy and can answer `prompt`.

    Raises:
        ConfigError: the file cannot be read, or it has no such network; `where` names the key.
    """
    found: dict[str, KnownNetwork] = {}
    refused: list[str] = []
    for number, line in enumerate(rated_pairs(path, prompt, where), 1):
        candidate = _as_answer_to(prompt, line.pair.completion, line.pair.prompt, reader)
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
    """Return a run's admitted networks as known networks, which prompts can show."""
    found = []
    for attempt in admitted:
        candidate, result = attempt.candidate, attempt.result
        if candidate is not None and result is not None:
            prompt = store.prompt(attempt.prompt_hash)
            answer = prompt.prefill + candidate.written
            name, accuracy = f"attempt {attempt.id}", result[0]
            found.append(KnownNetwork(name, candidate, answer, accuracy, "this run", prompt.parent))
    return found


def candidates(networks: Iterable[KnownNetwork]) -> dict[str, Candidate]:
    """Return the known networks' candidates by name."""
    return {network.name: network.candidate for network in networks}


def _as_answer_to(
    prompt: Prompt, completion: str, answered: Prompt, reader: Reader
) -> Candidate | Refusal:
    """Read a completion of the prompt `answered` as an answer to `prompt`."""
    found = reader.read_answer(completion, answered)
    if isinstance(found, Refusal) or answered.prefill == prompt.prefill:
        return found
    whole = answered.prefill + found.written
    if not whole.startswith(prompt.prefill):
        return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
    return reader.read_answer(whole.removeprefix(prompt.prefill), prompt)


def choose_examples(
    pool: Sequence[KnownNetwork],
    count: int,
    similarity: Similarity,
    fits: Callable[[Sequence[KnownNetwork]], bool],
) -> list[KnownNetwork]:
    """Choose up to `count` examples greedily: quality times distance to the nearest chosen one.

    Distance is 1 minus `similarity`, so a copy of a chosen network is never taken. Of equals the
    first in `pool` wins. A network that does not fit beside the chosen ones is skipped. Nothing is
    random.
    """
    quality, texts = quality_ranks(pool), [network.text for network in pool]
    distance, chosen = [1.0] * len(pool), list[int]()
    while len(chosen) < count:
        best = max(range(len(pool)), key=lambda i: quality[i] * distance[i], default=None)
        if best is None or quality[best] * distance[best] <= 0:
            break
        if fits([pool[i] for i in [*chosen, best]]):
            chosen.append(best)
            nearer = (1 - similarity(texts[best], other) for other in texts)
            distance = [min(pair) for pair in zip(distance, nearer, strict=True)]
        distance[best] = 0.0
    return [pool[i] for i in chosen]


def shuffle_by_quality(pool: Sequence[KnownNetwork], seed: int) -> list[KnownNetwork]:
    """Return networks for examples in random order; better ones are more likely to come early.

    Weighted sampling without replacement (Efraimidis and Spirakis 2006).
    """
    generator = random.Random(seed)
    keys = [generator.random() ** (1 / quality) for quality in quality_ranks(pool)]
    return [pool[i] for i in sorted(range(len(pool)), key=lambda i: -keys[i])]


def quality_ranks(pool: Sequence[KnownNetwork]) -> list[float]:
    """Rank possible examples per measurement setting: share (0, 1] equalled or beaten."""
    accuracies: dict[str, list[float]] = defaultdict(list)
    for network in pool:
        insort(accuracies[network.measured], network.accuracy)
    groups = [accuracies[network.measured] for network in pool]
    return [
        bisect_right(group, network.accuracy) / len(group)
        for network, group in zip(pool, groups, strict=True)
    ]
