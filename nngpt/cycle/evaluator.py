"""Open the executor that trains networks, with its images and with early stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt import plugins
from nngpt.config import Config
from nngpt.data.loading import data_source, load_splits
from nngpt.errors import ConfigError, UserError
from nngpt.generation.contract import Reader, make_reader
from nngpt.generation.contract.answers import Answer, write
from nngpt.protocols import Executor, Log
from nngpt.records import Candidate, Evaluation, Refusal, Task, content_hash, derive_seed

if TYPE_CHECKING:
    from nngpt.data.splits import Splits

Outcome = Evaluation | Refusal


@contextmanager
def open_evaluator(config: Config, log: Log) -> Iterator[tuple[Reader, Executor]]:
    """Open a reader and an executor for networks that exist already. Raises: UserError."""
    plugins.load("executor", config.evaluation.executor)  # a wrong name fails before the rest
    source = data_source(config)
    reader = make_reader(config, source)
    splits = load_splits(config, source, log)
    with open_executor(config, splits, reader.task, log) as executor:
        yield reader, executor


@contextmanager
def open_executor(config: Config, splits: Splits, task: Task, log: Log) -> Iterator[Executor]:
    """Open the executor of an evaluator, with the pruner of `evaluation.early_stop`.

    Raises:
        ConfigError: the executor cannot stop trainings early.
        UserError: the executor cannot run here, or the predictor is missing.
    """
    settings, pruner = config.evaluation, None
    if settings.early_stop:
        from nngpt.prediction.early_stopping import load_pruner

        pruner = load_pruner(config, task, log)
    executor: Executor = plugins.create(
        "executor", settings.executor, splits, settings, task, pruner, options=settings.options
    )
    with closing(executor):
        if executor.pruner is not pruner:
            raise ConfigError(
                f"the executor {settings.executor!r} trains to the end",
                where="evaluation.early_stop",
                hint="Use the executor local, bubblewrap or container",
            )
        yield executor


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
