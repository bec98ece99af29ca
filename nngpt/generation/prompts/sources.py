"""Load what a run's prompts may show: networks of a corpus, and blocks of indexed libraries."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.files import DATABASE
from nngpt.generation import modes
from nngpt.generation.contract.reader import Reader, whole_network
from nngpt.generation.prompts import known
from nngpt.generation.prompts.blocks import find_blocks
from nngpt.generation.prompts.cycle_prompts import PromptLimit, RunPrompts
from nngpt.generation.prompts.examples import Similarity
from nngpt.generation.prompts.known import KnownNetwork
from nngpt.protocols import LLM, Log
from nngpt.records import Sampling, ShownBlock
from nngpt.store.database import open_database


def make_prompts(
    config: Config,
    reader: Reader,
    pool: Sequence[KnownNetwork],
    llm: LLM,
    similarity: Similarity,
) -> RunPrompts:
    """Return the prompts of a run, each short enough for the model's context.

    Args:
        config: the configuration.
        reader: gives template and task.
        pool: networks of a corpus that prompts may show (`read_pool`).
        llm: the model, which may limit the length of a prompt.
        similarity: similarity of two networks' texts, for choosing diverse examples.

    Raises:
        UserError: `prompt.retrieve` is set, and the index has no suitable blocks.
    """
    sampling = Sampling(**config.sampling.model_dump())
    limit = PromptLimit(config.prompt.max_chars, sampling, llm)
    blocks = indexed_blocks(config)
    return RunPrompts(config, reader.template, reader.task, limit, similarity, pool, blocks)


def read_pool(config: Config, reader: Reader, log: Log) -> list[KnownNetwork]:
    """Read the corpus networks that prompts may show as examples or ask to change.

    Raises:
        ConfigError: the corpus is missing or cannot be read, or none of its networks can be shown.
    """
    wanted = config.prompt.shots_from in ("corpus", "both")
    path, key, prompt = config.prompt.corpus, "prompt.corpus", reader.prompt
    if modes.load(prompt.mode).changes_parent:
        if wanted:
            raise ConfigError(
                f"a corpus holds whole networks, and examples of {prompt.mode} mode are changes",
                where="prompt.shots_from",
                hint="Use admitted or template.",
            )
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
    pool = known.from_corpus(path, prompt, reader.read_answer, key)
    log(f"Prompt: {len(pool):,} networks of {path} can be shown")
    return pool


def indexed_blocks(config: Config) -> list[ShownBlock]:
    """Return the library blocks that prompts may show; empty unless `prompt.retrieve` is set.

    Raises:
        UserError: the run's database has no index, or no indexed block suits.
    """
    if not config.prompt.retrieve or "retrieval" in config.without:
        return []
    path = config.folder / DATABASE
    if not path.exists():
        raise ConfigError(
            f"no block is indexed in {path}",
            where="prompt.retrieve",
            hint=f"Index some: nngpt rag index torchvision --folder {config.folder}",
        )
    database = open_database(path, create=False)
    try:
        return find_blocks(database, config.prompt)
    finally:
        database.close()
