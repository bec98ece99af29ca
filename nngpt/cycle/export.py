"""Export a run's best networks as files: code, weights and ONNX, each with a card.

Their code is hostile until proven otherwise and never runs in this process: the executor trains
them once more in its sandbox and returns bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nngpt import files
from nngpt.config import Config
from nngpt.cycle.evaluator import open_executor
from nngpt.data.loading import data_source, load_splits
from nngpt.errors import ConfigError
from nngpt.protocols import ExportsWeights, Log
from nngpt.records import Evaluation, Exported, Refusal, Task
from nngpt.reports.analysis.best import Source

if TYPE_CHECKING:
    from nngpt.data.splits import Splits
_ONNX_S = 120.0


def export_config(run: Config, epochs: int | None) -> Config:
    """Return the run's configuration with one training per network, and time for ONNX.

    Args:
        epochs: number of epochs, None for the run's.
    """
    evaluation, wanted = run.evaluation, epochs or run.evaluation.epochs
    wall_s = evaluation.wall_s * max(1, wanted / evaluation.epochs) + _ONNX_S
    update = {"epochs": wanted, "wall_s": wall_s, "seeds": 1, "folds": None, "early_stop": False}
    changed = evaluation.model_copy(update={**update, "budget_s": None, "latency": False})
    return run.model_copy(update={"evaluation": changed})


@contextmanager
def open_exporter(config: Config, log: Log) -> Iterator[tuple[ExportsWeights, Splits]]:
    """Open an executor that returns trained weights, and the images it trains on.

    Raises:
        UserError: the executor cannot export weights, or cannot run here.
    """
    source = data_source(config)
    splits = load_splits(config, source, log)
    task = Task(
        source.name,
        (1, *source.shape),
        (source.classes,),
        config.task.threshold,
        max_parameters=config.task.max_parameters,
    )
    with open_executor(config, splits, task, log) as executor:
        if not isinstance(executor, ExportsWeights):
            raise ConfigError(
                f"the executor {config.evaluation.executor!r} cannot export weights",
                where="evaluation.executor",
                hint="Use --set evaluation.executor=local",
            )
        level = executor.level.partition(":")[0]
        log(f"Training: {splits.train.count:,} images of {splits.name}, sandbox level {level}")
        yield executor, splits


def train(executor: ExportsWeights, source: Source, onnx: bool) -> Exported | Refusal:
    """Train with the recorded seed, which must reproduce the recorded accuracy."""
    return executor.export(source.candidate, source.evaluation.seed, onnx)


def reproduced(recorded: Evaluation, again: Evaluation) -> bool | None:
    """Return whether a repeated training gave the same accuracies; None if its protocol differs."""
    was, now = (json.loads(evaluation.protocol) for evaluation in (recorded, again))
    keys = ("epochs", "precision", "memory_format", "folds", "threads")
    same = all(was.get(key) == now.get(key) for key in keys)
    if not same or recorded.device != again.device:
        return None
    if len(recorded.trials) > 1:  # one training per seed, the first with the seed itself
        return recorded.trials[0].accuracy == again.accuracy
    return [e.correct for e in recorded.epochs] == [e.correct for e in again.epochs]


def write_network(folder: Path, code: str, card: str, exported: Exported) -> None:
    """Write a network's folder atomically: all of its files, or nothing."""
    with files.scratch(folder) as partial:
        (partial / "network.py").write_text(code, encoding="utf-8")
        (partial / "weights.safetensors").write_bytes(exported.weights)
        if exported.onnx is not None:
            (partial / "network.onnx").write_bytes(exported.onnx)
        (partial / "card.md").write_text(card, encoding="utf-8")
        partial.chmod(0o755)
        files.publish(partial, folder)
