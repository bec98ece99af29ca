"""Load the networks and library blocks that a run's prompts may show."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt.config import DATABASE, Config
from nngpt.errors import ConfigError
from nngpt.generation import modes
from nngpt.generation.contract.reader import Reader, whole_network
from nngpt.generation.prompts import known
from nngpt.generation.prompts.known import Known
from nngpt.generation.prompts.questions import Budget, Questions
from nngpt.protocols import LLM, Log
from nngpt.records import Sampling, ShownBlock


def read_pool(config: Config, reader: Reader, log: Log) -> list[Known]:
    """Read the corpus networks that prompts may show as examples or ask to change.

    Raises:
        ConfigError: the corpus is missing or cannot be read, or none of its networks can be shown.
    """
    wanted = config.prompt.shots_from in ("corpus", "both")
    path, key, asked = config.prompt.corpus, "prompt.corpus", reader.prompt
    if modes.load(reader.prompt.mode).changes_parent:
        if wanted:
            raise ConfigError(
                "a corpus holds whole networks, and examples of delta mode are changes",
                where="prompt.shots_from",
                hint="Use admitted or template.",
            )
        wanted, asked = path is not None, whole_network(asked)
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
    pool = known.of_corpus(path, asked, reader.read_answer, key)
    log(f"Prompt: {len(pool):,} networks of {path} can be shown")
    return pool


def make_questions(config: Config, reader: Reader, pool: Sequence[Known], llm: LLM) -> Questions:
    """Return the prompts of a run, each short enough for the model's context."""
    sampling = Sampling(**config.sampling.model_dump())
    budget = Budget(config.prompt.max_chars, sampling, llm)
    return Questions(config, reader.template, reader.task, pool, budget, indexed_blocks(config))


def indexed_blocks(config: Config) -> list[ShownBlock]:
    """Return the library blocks that prompts may show; empty unless `prompt.retrieve` is set.

    Raises:
        UserError: the run's database has no index, or no indexed block suits the task.
    """
    if not config.prompt.retrieve or "retrieval" in config.without:
        return []
    from nngpt.generation.prompts.blocks import find_blocks
    from nngpt.store.database import open_database

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
