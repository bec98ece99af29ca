"""Known networks with a measured accuracy, from a corpus or a run, and which a prompt shows."""

from __future__ import annotations

import random
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

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

T = TypeVar("T")

_CORPUS = "corpus: "
"""Beginning of the measurement setting of a corpus network; its data set follows."""


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
        family: family in a corpus; a network of an unknown one is a family of its own.
        parameters: number of trainable parameters of a run's own network; 0 if unknown.
        cycle, batch: where a run's own network was written.
    """

    name: str
    candidate: Candidate = field(repr=False)
    answer: str = field(repr=False)
    accuracy: float
    measured: str
    parent: str = field(default="", repr=False)
    family: str = ""
    parameters: int = 0
    cycle: int = 0
    batch: int = 0

    @property
    def dataset(self) -> str:
        """The data set on which a corpus network was measured, "" for a run's own."""
        return self.measured.removeprefix(_CORPUS) if self.family else ""

    @property
    def text(self) -> str:
        """Code on which similarity is measured."""
        return contract.novelty_text(self.candidate)


def read_pool(config: Config, reader: Reader, log: Log) -> list[KnownNetwork]:
    """Read the known networks of the corpus that prompts may show or ask to change.

    Raises:
        ConfigError: the corpus is missing or cannot be read, or none of its networks can be shown.
    """
    shown = config.prompt.shots_from in ("corpus", "both")
    wanted = shown or "corpus" in config.prompt.parents
    path, key, prompt = config.prompt.corpus, "prompt.corpus", reader.prompt
    if modes.load(prompt.mode).changes_parent:
        if shown:
            what = f"a corpus holds whole networks, and examples of {prompt.mode} mode are changes"
            raise ConfigError(what, where="prompt.shots_from", hint="Use admitted or template.")
        wanted, prompt = wanted or path is not None, whole_network(prompt)
    elif config.prompt.parents and not config.prompt.crossover:
        what = f"answers of {prompt.mode} mode change no network"
        hint = "Set prompt.crossover, or use the template delta."
        raise ConfigError(what, where="prompt.parents", hint=hint)
    elif wanted and path is None:
        path, key = config.learning.corpus, "learning.corpus"
    if not wanted:
        return []
    if path is None:
        what, other = ("examples", "shots_from: admitted")
        if not shown:
            what, other = "parents", "parents: {admitted: 1}"
        raise ConfigError(
            f"not set, and {what} are to come from it",
            where="prompt.corpus",
            hint=f"Build one: nngpt corpus build, or set prompt.{other}.",
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
        facts = (name, candidate, answer, line.accuracy, f"{_CORPUS}{line.dataset}")
        known = KnownNetwork(*facts, family=line.family or name)
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
            facts = (candidate, answer, result.accuracy, "this run", prompt.parent)
            known = KnownNetwork(
                f"attempt {attempt.id}",
                *facts,
                parameters=attempt.evaluation.claimed_parameters if attempt.evaluation else 0,
                cycle=attempt.cycle,
                batch=attempt.batch,
            )
            found.append(known)
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
    """Return known networks in random order; better ones are more likely to come early."""
    return shuffle_by_weight(pool, quality_ranks(pool), seed)


def shuffle_by_weight(items: Sequence[T], weights: Sequence[float], seed: int) -> list[T]:
    """Return the items in random order; heavier ones are more likely to come early.

    Weighted sampling without replacement (Efraimidis and Spirakis 2006).
    """
    generator = random.Random(seed)
    keys = [generator.random() ** (1 / weight) for weight in weights]
    return [items[i] for i in sorted(range(len(items)), key=lambda i: -keys[i])]


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
