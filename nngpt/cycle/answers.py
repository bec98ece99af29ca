"""Write networks with the LLM, without training (`nngpt generate`), and keep the answers.

The answers are kept in a file as soon as each is written, so that the same command resumes. They
are written in batches of fixed seeds: an unfinished batch is written again, with the same texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source
from nngpt.errors import UserError
from nngpt.files import append_lines, parse_json, read_bytes, write_file
from nngpt.generation.contract import make_reader
from nngpt.generation.models import constrained
from nngpt.generation.models.adapters import starting_adapter
from nngpt.generation.prompts.cycle_prompts import make_prompts
from nngpt.generation.prompts.known import read_pool
from nngpt.novelty.shingles import text_similarity
from nngpt.protocols import LLM, Log, TellsCompletions
from nngpt.records import (
    Candidate,
    Completion,
    Prompt,
    Refusal,
    Sampling,
    canonical_json,
    derive_seed,
)

WrittenNetwork = tuple[Completion, Candidate | Refusal]
"""A completion and the network in it, or why there is none."""

Report = Callable[[int, WrittenNetwork], None]
"""Called with the number of an answer, from 1, and its network, once each."""


class AnswerFile:
    """Completions by number, kept in a file of JSON lines.

    Raises: UserError if the file belongs to other settings, or cannot be read or written.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        settings = canonical_json(config.model_dump(mode="json"))
        self._settings = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.known: dict[int, Completion] = {}
        if path.exists():
            self._read()

    def add(self, number: int, completion: Completion) -> None:
        """Keep a completion, unless it is known."""
        if number not in self.known:
            self.known[number] = completion
            append_lines(self._path, [self._line(number, completion)])

    def _read(self) -> None:
        for line in read_bytes(self._path).splitlines():
            try:
                found = parse_json(line)
                number, completion = found["number"], Completion(**found["completion"])
                same = found["settings"] == self._settings
            except (ValueError, TypeError, KeyError):
                continue  # cut off when its writer was killed
            if not same:
                hint = "Give another folder with --out, or remove this file"
                what = "holds answers written with other settings"
                raise UserError(what, where=str(self._path), hint=hint)
            self.known[number] = completion
        lines = (self._line(*one) + b"\n" for one in self.known.items())
        write_file(self._path, lines)

    def _line(self, number: int, completion: Completion) -> bytes:
        facts = {"settings": self._settings, "number": number, "completion": asdict(completion)}
        return json.dumps(facts).encode()


def generate_answers(
    config: Config, count: int, log: Log, report: Report, kept: AnswerFile | None
) -> tuple[str, list[WrittenNetwork]]:
    """Write `count` answers to a first cycle's prompts as networks, without training.

    Args:
        report: called with each answer as soon as it is written, or read from the file.
        kept: the file of the answers; None to keep none.

    Returns:
        The prompt mode, and the answers in order.

    Raises: UserError if something in the configuration is wrong or missing.
    """
    reader = make_reader(config, data_source(config))
    pool, adapter = read_pool(config, reader, log), starting_adapter(config)
    answers: dict[int, WrittenNetwork] = {}
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
        for batch, start in enumerate(range(0, count, llm.batch_size)):
            prompt = prompts.prompt(derive_seed(config.seed, "ask", 1, batch), batch)

            def tell(completion: Completion, start: int = start, prompt: Prompt = prompt) -> None:
                number = start + completion.index + 1
                if number in answers:
                    return
                answers[number] = completion, reader.read_answer(completion.text, prompt)
                if kept is not None:
                    kept.add(number, completion)
                report(number, answers[number])

            numbers = range(start + 1, min(start + llm.batch_size, count) + 1)
            known: Mapping[int, Completion] = kept.known if kept is not None else {}
            for number in numbers:
                if number in known:
                    tell(known[number])
            if all(number in answers for number in numbers):
                continue
            log(f"writing {len(numbers)} networks, {numbers[0]} to {numbers[-1]} of {count} …")
            if isinstance(llm, TellsCompletions):
                llm.on_completion = tell
            seed = derive_seed(config.seed, "write", 1, batch)
            for completion in llm.generate(prompt, len(numbers), seed, sampling):
                tell(completion)
    return reader.prompt.mode, [answers[number] for number in sorted(answers)]
