"""Recorded answers for MNIST from the shipped corpus, and executors that train them."""

from __future__ import annotations

import gzip
import json
import random
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nngpt
from nngpt import config
from nngpt.config import Config
from nngpt.cycle.parts import open_evaluator
from nngpt.data.loading import data_source
from nngpt.generation.contract import make_reader
from nngpt.records import Candidate
from nngpt.sandbox.executors.local import LocalExecutor

CORPUS = Path(nngpt.__file__).parent / (
    "generation/models/shipped/smollm2-135m-lemur/full.jsonl.gz"
)
LEVELS = {"full": (), "standard": ("namespaces",), "weak": ("namespaces", "landlock", "seccomp")}
"""Layers to leave out by level, on a machine that has all of them."""


def changes(given: Namespace) -> list[str]:
    """Return what changes demo-mnist to trainings of whole networks, for one epoch."""
    values = '{"lr": 0.01, "momentum": 0.9, "dropout": 0.1}'
    return [
        "prompt.template=tuned-full",
        f"task.train_limit={given.images}",
        f"task.validation_limit={max(100, given.images // 5)}",
        "task.threshold=0.5",
        "task.max_parameters=null",
        f"evaluation.device={given.device}",
        f"evaluation.hyperparameters={values}",
    ]


def settings(given: Namespace, *more: str) -> Config:
    """Return the configuration of all trainings outside a run, at any level."""
    return config.load("demo-mnist", [*changes(given), "evaluation.sandbox=weak", *more])


def answers(count: int) -> list[str]:
    """Return the same random sample of recorded answers every time."""
    with gzip.open(CORPUS, "rt", encoding="utf-8") as stream:
        lines = [json.loads(line) for line in stream]
    texts = sorted({line["completion"] for line in lines if line["task"] == "mnist"})
    return random.Random(1).sample(texts, count)


def candidates(given: Namespace, count: int) -> list[Candidate]:
    """Return the candidates in `count` answers; refused answers are replaced."""
    loaded = settings(given)
    reader = make_reader(loaded, data_source(loaded))
    read = (reader.read(text) for text in answers(2 * count))
    return [found for found in read if isinstance(found, Candidate)][:count]


@contextmanager
def opened(
    given: Namespace, without: tuple[str, ...] | None = None, *more: str
) -> Iterator[LocalExecutor]:
    """Open an executor, by default of the level `given.level`."""
    layers = LEVELS[given.level] if without is None else without
    if layers:
        shim = [sys.executable, str(Path(__file__).with_name("without.py")), ",".join(layers)]
        more += ("evaluation.executor=container", f"evaluation.options.command={json.dumps(shim)}")
    with open_evaluator(settings(given, *more), lambda _: None) as (_, executor):
        assert isinstance(executor, LocalExecutor)
        yield executor
