"""Train networks from files under the protocol of a configuration (`nngpt evaluate`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nngpt.config import Config
from nngpt.cycle.evaluator import open_evaluator
from nngpt.errors import UserError
from nngpt.generation.contract.answers import Answer, write
from nngpt.protocols import Log
from nngpt.records import Candidate, Evaluation, Refusal, content_hash, derive_seed

Outcome = Evaluation | Refusal


def evaluate_files(
    config: Config, files: Sequence[Path], log: Log, report: Callable[[Path, Outcome], None]
) -> list[tuple[Path, Outcome]]:
    """Train the network in each file as a cycle would.

    Args:
        config: task and protocol, with a prompt template of `full` mode.
        files: Python files with one network each.
        log: called with one line for the user.
        report: called with each file and its outcome as soon as it is known.

    Raises:
        UserError: a file cannot be read, or the executor cannot run here.
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
