"""The reference corpus with which a comparison's answers are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nngpt.errors import ConfigError
from nngpt.files import digest
from nngpt.finetuning.compare.arms import ComparedArm
from nngpt.generation import contract
from nngpt.generation.pairs import corpus_pairs
from nngpt.records import Candidate


@dataclass(frozen=True)
class ReferenceCorpus:
    """The networks of the corpus with which a comparison's answers are compared.

    Attributes:
        digest: sha256 over the files' contents.
        left_out: number of answers that the contract refuses.
        networks: answers, each network once, by number and source.
    """

    files: tuple[str, ...]
    digest: str
    left_out: int
    networks: Mapping[str, str] = field(repr=False)


def read_corpus(files: Sequence[Path], arm: ComparedArm) -> ReferenceCorpus | None:
    """Read the corpus to compare with, as `arm` reads it: distinct networks; None for no files.

    Raises: ConfigError if a file is unreadable or of another mode, or the contract refuses all.
    """
    if not files:
        return None
    reader = next(iter(arm.readers.values()))
    prompt = arm.prompts[0].prompt
    pairs = [pair for file in files for pair in corpus_pairs(file, prompt, where="--corpus")]
    # Reading takes longest: the same answer to several tasks is read once.
    once = {pair.completion: pair for pair in reversed(pairs)}
    networks: dict[str, str] = {}
    left_out = 0
    for pair in reversed(once.values()):
        found = reader.read_answer(pair.completion, pair.prompt)
        if isinstance(found, Candidate):
            networks.setdefault(contract.novelty_text(found), pair.source)
        else:
            left_out += 1
    if not networks:
        raise ConfigError("no pair fits the contract", where=f"--corpus: {files[0]}")
    whole = hashlib.sha256("".join(map(digest, files)).encode()).hexdigest()
    by_name = {
        f"{number} ({source})": text for number, (text, source) in enumerate(networks.items(), 1)
    }
    return ReferenceCorpus(tuple(map(str, files)), whole, left_out, by_name)
