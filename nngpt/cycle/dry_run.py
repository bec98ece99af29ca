"""Write networks with the configured LLM and check them without training (`nngpt generate`)."""

from __future__ import annotations

from contextlib import closing

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source
from nngpt.generation.contract import make_reader
from nngpt.generation.models import constrained
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import read_pool
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import LLM, Log
from nngpt.records import Candidate, Completion, Refusal, Sampling, derive_seed

Answer = tuple[Completion, Candidate | Refusal]
"""A completion and the network in it, or why there is none."""


def generate_answers(config: Config, count: int, log: Log) -> tuple[str, list[Answer]]:
    """Write `count` answers to a first cycle's prompts, without training (a dry run).

    Returns:
        The prompt mode, and the answers.

    Raises: UserError if something in the configuration is wrong or missing.
    """
    reader = make_reader(config, data_source(config))
    pool, adapter = read_pool(config, reader, log), starting_adapter(config)
    llm: LLM = plugins.create(
        "LLM backend", config.llm.backend, config.llm, options=config.llm.options
    )
    with closing(llm):
        llm.use_adapter(adapter)
        if config.sampling.constrain:
            constrained.check(llm, reader.prompt.mode)
        log(f"{llm.facts}; {reader.prompt.mode} mode")
        similarity = text_similarity(config.novelty.shingle)
        prompts = make_prompts(config, reader, pool, llm, similarity).of_cycle([], log)
        sampling = Sampling(**config.sampling.model_dump())
        answers: list[Answer] = []
        for batch, start in enumerate(range(0, count, llm.batch_size)):
            size = min(llm.batch_size, count - start)
            prompt = prompts.prompt(derive_seed(config.seed, "ask", 1, batch))
            seed = derive_seed(config.seed, "write", 1, batch)
            for completion in llm.generate(prompt, size, seed, sampling):
                answers.append((completion, reader.read_answer(completion.text, prompt)))
        return reader.prompt.mode, answers
