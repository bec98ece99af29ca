"""Measure learning curves: accuracy by time of training, in the sandbox, as a search trains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from lemur_data.candidates import Known
from nngpt import config
from nngpt.cycle.parts import open_evaluator
from nngpt.files import append_lines, whole_lines
from nngpt.generation.contract import Reader
from nngpt.generation.contract.answers import Answer, write
from nngpt.records import Candidate, Refusal, StagedTraining
from nngpt.sandbox import reference
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.search.recipe import SMALL, Recipe

RUNGS = ((30.0, 60), (90.0, 20), (270.0, 8))
"""Own seconds of a training with one rise and fall of the learning rate; networks that get them."""

REFERENCE = "reference"
_CURVES = "curves.jsonl"
_RECIPE = Recipe(transform="norm-crop-flip", small=SMALL)
_PROBE, _PROBE_LIMIT_S = 640, 12
"""Images with which a network's cost is measured; own seconds after which it is refused."""

_VALIDATION = 3000


class Laboratory:
    """Trains networks on CIFAR-10 with one thread, and keeps a line for each training in a file."""

    def __init__(self, work: Path, stack: ExitStack) -> None:
        self._file, self.lines = work / _CURVES, read_curves(work)
        self._reader, self._executor = _opened(stack, 100_000, _VALIDATION)
        _, self._probe = _opened(stack, _PROBE_LIMIT_S, 64)

    def line(self, name: str, horizon: float) -> dict[str, Any] | None:
        """Return the line of a network's training for so many seconds; 0 is its cost."""
        for one in self.lines:
            if (one["name"], one["horizon"]) == (name, horizon):
                return one
        return None

    def cost_s(self, name: str) -> float:
        """Return the own seconds of training on one image, by the longest training."""
        own = [one for one in self.lines if one["name"] == name and "images" in one]
        longest = max(own, key=lambda one: one["images"])
        return float(longest["seconds"]) / float(longest["images"])

    def probe(self, network: Known) -> bool:
        """Measure a network's cost, unless a line has it; return whether it trains at all."""
        done = self.line(network.name, 0.0)
        if done is None:
            done = self._train(self._probe, network, 0.0, _PROBE)
        return "refused" not in done

    def train(self, network: Known, horizon: float) -> float:
        """Train a network for so many own seconds, unless a line has it; return its accuracy."""
        done = self.line(network.name, horizon)
        if done is None:
            images = round(horizon / self.cost_s(network.name))
            done = self._train(self._executor, network, horizon, images)
        return float(done.get("accuracy", 0.0))

    def _train(
        self, executor: LocalExecutor, network: Known, horizon: float, images: int
    ) -> dict[str, Any]:
        facts: dict[str, Any] = {"name": network.name, "horizon": horizon}
        candidate = _candidate(self._reader, network)
        if isinstance(candidate, Refusal):
            return self._add(facts | {"refused": candidate.reason})
        recipe = _RECIPE.with_rate(network.rate)
        stage = replace(recipe.stage(images, 0, 0.0), seconds=None)
        found = executor.advance(candidate, 1, stage)
        if isinstance(found, Refusal):
            return self._add(facts | {"refused": found.reason})
        return self._add(facts | {"recipe": recipe.note} | _facts(found))

    def _add(self, line: dict[str, Any]) -> dict[str, Any]:
        self.lines.append(line)
        append_lines(self._file, [json.dumps(line).encode()])
        print(json.dumps(line), flush=True)
        return line


def read_curves(work: Path) -> list[dict[str, Any]]:
    """Return all lines of a work folder."""
    return [json.loads(one) for one in whole_lines(work / _CURVES)]


def measure(networks: Sequence[Known], work: Path) -> list[dict[str, Any]]:
    """Measure what has no line in the work folder yet, by successive halving; return all lines.

    Our own networks take part in every rung.
    """
    work.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        laboratory = Laboratory(work, stack)
        laboratory.probe(_reference())
        field = [one for one in networks if laboratory.probe(one)]
        for horizon, count in RUNGS:
            own = [one for one in field if one.ours]
            field = own + [one for one in field if not one.ours][: count - len(own)]
            accuracies = {one.name: laboratory.train(one, horizon) for one in field}
            field.sort(key=lambda one: (-accuracies[one.name], one.name))
        return laboratory.lines


def _reference() -> Known:
    code = reference.candidate(config.EvaluationConfig()).code
    return Known(REFERENCE, code, "", "", "", {}, {})


def _candidate(reader: Reader, network: Known) -> Candidate | Refusal:
    if network.name == REFERENCE:
        return reference.candidate(config.EvaluationConfig())
    return reader.read(write(Answer(network.code, {})))


def _facts(found: StagedTraining) -> dict[str, Any]:
    return {
        "images": found.batches * _RECIPE.batch,
        "seconds": round(found.own_s, 3),
        "accuracy": round(found.accuracy, 4),
        "parameters": found.claimed_parameters,
        "macs": (found.claimed_flops or 0) // 2,
    }


def _opened(stack: ExitStack, limit_s: float, validation: int) -> tuple[Reader, LocalExecutor]:
    settings = [
        *("prompt.template=full", "task.dataset=cifar10", f"task.validation_limit={validation}"),
        *("evaluation.workers=1", "evaluation.threads=1", "evaluation.device=cpu"),
        f"evaluation.limit_s={limit_s}",
    ]
    return stack.enter_context(open_evaluator(config.load(None, settings), lambda _: None))
