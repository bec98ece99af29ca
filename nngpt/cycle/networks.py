"""Write networks without training (`nngpt generate`), and train given files (`nngpt evaluate`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from nngpt import plugins
from nngpt.config import Config
from nngpt.cycle.parts import open_evaluator
from nngpt.data.loading import data_source
from nngpt.errors import UserError
from nngpt.generation.contract import make_reader
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.models import constrained
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import read_pool
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import LLM, Log
from nngpt.records import (
    Candidate,
    Completion,
    Evaluation,
    Refusal,
    Sampling,
    content_hash,
    derive_seed,
)

WrittenNetwork = tuple[Completion, Candidate | Refusal]
"""A completion and the network in it, or why there is none."""

Outcome = Evaluation | Refusal


def generate_answers(config: Config, count: int, log: Log) -> tuple[str, list[WrittenNetwork]]:
    """Write `count` answers to a first cycle's prompts as networks, without training.

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
        answers: list[WrittenNetwork] = []
        for batch, start in enumerate(range(0, count, llm.batch_size)):
            size = min(llm.batch_size, count - start)
            prompt = prompts.prompt(derive_seed(config.seed, "ask", 1, batch))
            seed = derive_seed(config.seed, "write", 1, batch)
            for completion in llm.generate(prompt, size, seed, sampling):
                answers.append((completion, reader.read_answer(completion.text, prompt)))
        return reader.prompt.mode, answers


def evaluate_files(
    config: Config, files: Sequence[Path], log: Log, report: Callable[[Path, Outcome], None]
) -> list[tuple[Path, Outcome]]:
    """Evaluate the network in each file: train and judge it as a cycle would.

    Args:
        config: task and protocol, with a prompt template of `full` mode.
        files: Python files with one network each.
        report: called with each file and its outcome as soon as it is known.

    Raises: UserError if a file cannot be read, or the executor cannot run here.
    """
    sources = [(file, _read(file)) for file in files]
    outcomes: list[tuple[Path, Outcome]] = []
    with open_evaluator(config, log) as (reader, executor):
        for file, code in sources:
            read = reader.read(write(Answer(code, {})))
            seed = derive_seed(config.seed, "train", content_hash(code))
            outcome = executor.evaluate(read, seed) if isinstance(read, Candidate) else read
            report(file, outcome)
            outcomes.append((file, outcome))
    return outcomes


def _read(file: Path) -> str:
    """Read a file as text. Raises: UserError."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file)) from None
