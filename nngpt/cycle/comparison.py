"""Compare adapters with their base model: write and judge the answers that a folder lacks."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from nngpt import __version__, gpus, plugins
from nngpt.config import Config
from nngpt.cycle.parts import open_executor
from nngpt.data.loading import data_source, load_splits
from nngpt.finetuning.compare.arms import make_arms, parse_arms, shared_settings
from nngpt.finetuning.compare.generation import OnProgress, unwritten, write_answers
from nngpt.finetuning.compare.judge import judge
from nngpt.finetuning.compare.records import CHECK, Samples, Session
from nngpt.finetuning.corpus.build_check import open_on_noise
from nngpt.protocols import DatasetSource, Executor, Log
from nngpt.records import derive_seed

_PACKAGES = ("torch", "transformers", "peft", "scipy")


class Comparison:
    """A comparison of arms on data sets, each network trained for one epoch.

    Attributes:
        arms: the arms, with their prompts and readers.
    """

    def __init__(self, config: Config, arms: Sequence[str], datasets: Sequence[str], log: Log):
        """Parse the `--arm` options `arms`, and open the data sets. Raises: UserError."""
        evaluation = config.evaluation.model_copy(update={"epochs": 1, "retrain": False})
        self._config = config.model_copy(update={"evaluation": evaluation})
        self._log = log
        self._sources = {name: source_of(config, name) for name in dict.fromkeys(datasets)}
        self.arms = make_arms(self._config, parse_arms(arms), list(self._sources.values()))
        self._tasks = {name: reader.task for name, reader in self.arms[0].readers.items()}

    def run(
        self, folder: Path, wanted: int, how: str, command: str, on_progress: OnProgress
    ) -> None:
        """Write and judge the answers that the folder still lacks.

        `wanted` counts answers of each arm to each prompt; `how` is `CHECK`, `TRAIN`, or "" to run
        nothing. Raises: UserError if the folder is in use or holds other settings, ModelError,
        ExecutionError if the sandbox does not start.
        """
        seeds = partial(derive_seed, self._config.seed)
        with Samples(folder) as record:
            record.agree(shared_settings(self._config), [arm.facts for arm in self.arms])
            prompts = {arm.name: {a.key: a.tasks for a in arm.prompts} for arm in self.arms}
            started = datetime.now(UTC).isoformat(timespec="seconds")
            tasks = tuple(self._tasks)
            record.append([Session(started, command, wanted, how, tasks, prompts, machine())])
            if unwritten(record, self.arms, wanted):
                wants = self._config.llm
                made = plugins.create("LLM backend", wants.backend, wants, options=wants.options)
                with closing(made) as llm:
                    mode = self.arms[0].facts.mode
                    self._log(f"Writing: {llm.facts}, {mode} mode, {llm.batch_size} at a time")
                    write_answers(record, self.arms, llm, wanted, seeds, on_progress)
            if how:
                opened = self._noise if how == CHECK else self._images
                judge(record, self.arms, how, tasks, opened, wanted, seeds, on_progress)

    def _noise(self, name: str) -> AbstractContextManager[Executor]:
        """Open an executor on a few noise images in the shape of a task."""
        return open_on_noise(self._config.evaluation, self._tasks[name])

    @contextmanager
    def _images(self, name: str) -> Iterator[Executor]:
        """Open an executor on the images of a task; download them first if necessary."""
        plugins.load("executor", self._config.evaluation.executor)  # reports a wrong name first
        splits = load_splits(self._config, self._sources[name], self._log)
        with open_executor(self._config, splits, self._tasks[name], self._log) as executor:
            level = executor.level.partition(":")[0]
            self._log(f"Training: {splits.train.count:,} images of {name}, sandbox level {level}")
            yield executor


def source_of(config: Config, name: str) -> DatasetSource:
    """Return a data set of a comparison by name. Raises: PluginError, DataError."""
    task = config.task.model_copy(update={"dataset": name})
    return data_source(config.model_copy(update={"task": task}))


def machine() -> Mapping[str, Any]:
    """Return the machine of a comparison: processor, usable cores, GPU (or None), versions."""
    import torch

    versions = {"nngpt": __version__, "python": platform.python_version()}
    return {
        "cpu": gpus.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "versions": versions | {name: metadata.version(name) for name in _PACKAGES},
    }
