"""Read a training corpus in a run: its pairs' networks, and those an adapter has learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.generation.contract.reader import Reader
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.pairs import corpus_pairs
from nngpt.protocols import Log
from nngpt.records import Adapter, Candidate, Refusal, TrainingPair


def read_corpus(config: Config, reader: Reader, log: Log) -> list[tuple[TrainingPair, Candidate]]:
    """Read corpus networks with their pairs; skip those that break the contract.

    Raises: ConfigError if the file cannot be read, or no pair passes the contract.
    """
    path = config.learning.corpus
    if path is None:
        return []
    pairs = corpus_pairs(path, reader.prompt, config.learning.corpus_limit)
    read = [(pair, reader.read_answer(pair.completion, pair.prompt)) for pair in pairs]
    good = [(pair, found) for pair, found in read if isinstance(found, Candidate)]
    refused = [found for _, found in read if isinstance(found, Refusal)]
    why = f"{refused[0].stage}: {refused[0].reason}" if refused else "it is empty"
    if not good:
        raise ConfigError(f"no pair fits the contract ({why})", where=f"learning.corpus: {path}")
    more = f" ({len(refused):,} left out, the first for {why})" if refused else ""
    log(f"Corpus: {len(good):,} pairs of {path}{more}")
    return good


def named_networks(corpus: Sequence[tuple[TrainingPair, Candidate]]) -> dict[str, Candidate]:
    """Return the networks of a training corpus, named by number and source."""
    return {
        f"corpus network {number} ({pair.source})": candidate
        for number, (pair, candidate) in enumerate(corpus, 1)
    }


def starting_networks(config: Config, reader: Reader) -> tuple[int, dict[str, Candidate]]:
    """Return the corpus networks that a run starts with, by name, and their number of pairs.

    Raises: UserError if the corpus or the adapter cannot be read.
    """
    corpus = read_corpus(config, reader, lambda _: None)
    learned = learned_networks(starting_adapter(config), reader)
    return len(corpus), {**named_networks(corpus), **learned}


def learned_networks(adapter: Adapter | None, reader: Reader) -> dict[str, Candidate]:
    """Return the corpus networks on which an adapter was trained, by name.

    Raises: ConfigError if the list in the adapter's folder is damaged.
    """
    if adapter is None:
        return {}
    file = Path(adapter.path) / f"{reader.prompt.mode}.jsonl.gz"
    if not file.is_file():
        return {}
    pairs = corpus_pairs(file, reader.prompt)
    read = (reader.read_answer(pair.completion, pair.prompt) for pair in pairs)
    return {
        f"network {number} that adapter {adapter.name} learned": found
        for number, found in enumerate(read, 1)
        if isinstance(found, Candidate)
    }
