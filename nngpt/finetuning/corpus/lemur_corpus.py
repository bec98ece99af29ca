"""The corpus `lemur` (`learning.corpus: lemur`): the papers' initial pairs, built on first use.

The recipe is pinned: LEMUR's networks that fit the contract with fixed hyperparameters and into an
answer of the papers' length, deduplicated at 0.90, each as the answer to the prompt `paper` for
MNIST and for CIFAR-10; the part for training. The papers have 849 networks, 1,698 pairs
(docs/papers.md).
"""

from __future__ import annotations

from pathlib import Path

from nngpt import files
from nngpt.config import LEMUR_CORPUS, Config, EvaluationConfig, TaskConfig, corpus_file
from nngpt.finetuning.corpus.build import CorpusSelection
from nngpt.finetuning.corpus.folder import create_corpus
from nngpt.finetuning.corpus.writers import make_writer
from nngpt.protocols import Log
from nngpt.store.lemur.mirror import mirror_folder

RECIPE = Config(
    task=TaskConfig(dataset="cifar10", max_parameters=5_000_000),
    evaluation=EvaluationConfig(fixed=True, transform="norm-crop-flip"),
)
"""Prompt and defaults of the corpus; the configurations of the papers have the same."""

TASKS = ("mnist", "cifar10")


def ensure(path: Path | None, log: Log) -> None:
    """Build the corpus `lemur` if a setting names it and it is not there yet.

    Raises:
        StoreError: there is no LEMUR mirror.
        UserError: the cache cannot be written.
    """
    if path != LEMUR_CORPUS or path.exists():
        return
    file = corpus_file(path)
    with files.locked(file.parent.parent / ".lock"):
        if not file.exists():
            log(f"Building the corpus `lemur` for its first use, about a minute: {file.parent}")
            writer = make_writer(RECIPE, "paper", TASKS)
            selection = CorpusSelection(writer.max_chars(RECIPE.sampling.max_new_tokens))
            mirrors = [mirror_folder()]
            create_corpus(file.parent, mirrors, writer, selection, None, lambda *_: None)
