"""Export a trained network without running any of it in this process; judge what its workers send.

Three workers run one after another: the first trains the network and sends its weights and an ONNX
file; the second loads the weights into a fresh network and answers the validation images; the
third answers them with the ONNX file, without the network's code. All answers are judged here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import Any

from nngpt.data.transform_names import spec
from nngpt.records import Candidate, Evaluation, Exported, Refusal, WeightTensor
from nngpt.sandbox import exit_reasons, tensors, wire
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import JobFactory, JobResult
from nngpt.sandbox.judge import Budget, Judge, Labels, clean
from nngpt.sandbox.lane_pool import LanePool
from nngpt.sandbox.tensors import MOST_ONNX_BYTES, TensorReader

_FEW = 64
"""Number of images that the evaluator of the package onnx answers; it is slow."""

_MOST_PIXELS = 1 << 24
_MAX_PROBLEM = 300


@dataclass(frozen=True)
class Exporter:
    """Exports networks with the workers of one executor."""

    pool: LanePool
    jobs: JobFactory
    evaluation_of: Callable[[JobResult[ExportJudge], int, Fold], Evaluation]
    budget: Budget
    limit_s: float

    def export(
        self, candidate: Candidate, seed: int, fold: Fold, with_onnx: bool
    ) -> Exported | Refusal:
        """Export a network: train it, take its weights and ONNX file, and try both.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        job = self.jobs.training(candidate, seed, fold, work="export", onnx=with_onnx)
        budget = replace(self.budget, latency_ms=None, seconds=None)
        protocol = job.description["classes"], job.description["epochs"], budget
        make_judge = partial(ExportJudge, job.labels, *protocol, with_onnx)
        result = self.pool.run(job, make_judge, self.limit_s)
        judge, problem = result.judge, result.judge.onnx_problem
        if result.refusal is not None:
            if not judge.has_weights or result.refusal.reason in exit_reasons.HOSTILE:
                return result.refusal
            problem = result.refusal.reason  # only the ONNX file is missing
        weights = tensors.safetensors_file(judge.tensors)
        loaded = self._try_weights(candidate, seed, fold, weights)
        if loaded.refusal is not None:
            return loaded.refusal
        exported = Exported(
            evaluation=self.evaluation_of(result, seed, fold),
            in_shape=_in_shape(job.description, judge.in_shape),
            tensors=judge.tensors,
            weights=weights,
            needs_setup=loaded.judge.needs_setup,
            loaded=loaded.judge.judged,
            onnx_problem=problem,
        )
        if judge.onnx is None:
            return exported
        return self._with_onnx(candidate, seed, fold, exported, judge.onnx)

    def _try_weights(
        self, candidate: Candidate, seed: int, fold: Fold, file: bytes
    ) -> JobResult[AnswersJudge]:
        """Let a fresh worker, which has the code and the weights, answer the images."""
        job = replace(self.jobs.training(candidate, seed, fold, work="weights"), file=file)
        classes, phases = job.description["classes"], ("build", "forward")
        make_judge = partial(AnswersJudge, job.labels, classes, phases)
        return self.pool.run(job, make_judge, self.limit_s)

    def _with_onnx(
        self, candidate: Candidate, seed: int, fold: Fold, exported: Exported, file: bytes
    ) -> Exported:
        """Add the ONNX file if a worker without the network's code can answer images with it."""
        engine = "onnx" if find_spec("onnxruntime") is None else "onnxruntime"
        settings = {"work": "onnx", "code": "", "device": "cpu", "engine": engine}
        job = replace(self.jobs.training(candidate, seed, fold, **settings), file=file)
        if engine == "onnx":
            order = job.order[:_FEW]
            description = job.description | {"validation_count": len(order)}
            job = replace(job, order=order, description=description)
        classes = job.description["classes"]
        make_judge = partial(AnswersJudge, job.labels, classes, ("build",))
        result = self.pool.run(job, make_judge, self.limit_s)
        if result.refusal is not None:
            return replace(exported, onnx_problem=f"the file is no good: {result.refusal.reason}")
        # The package onnxruntime has distributions of several names.
        (distribution, *_) = packages_distributions().get(engine, [engine])
        name, judged = f"{engine} {version(distribution)}", result.judge.judged
        return replace(exported, onnx=file, onnx_judged=judged, onnx_engine=name)


def _in_shape(description: Mapping[str, Any], claimed: tuple[int, ...]) -> tuple[int, ...]:
    """Return the network's input shape: known for a named transform, else as its worker claims."""
    known, (channels, height, width) = spec(description["transform"]), description["shape"]
    if known is None:
        return claimed
    return (1, channels, known.size or height, known.size or width)


class ExportJudge(Judge):
    """Judges a training, then takes the weights and, if wanted, an ONNX file.

    Attributes:
        in_shape: (1, c, h, w) of the network's input, as the worker claims.
        onnx: the ONNX file, None before it arrives.
        onnx_problem: why the worker could not make an ONNX file, "" if it reported no problem.
    """

    def __init__(
        self, labels: Labels, classes: int, epochs: int, budget: Budget, with_onnx: bool
    ) -> None:
        super().__init__(labels, classes, epochs, budget)
        self._script += [("weights", 0), *([("onnx", 0)] if with_onnx else [])]
        self._with_onnx = with_onnx
        self._tensor_reader: TensorReader | None = None
        self.in_shape: tuple[int, ...] = ()
        self.onnx: bytes | None = None
        self.onnx_problem = ""

    @property
    def done(self) -> bool:
        """True once the exported weights and the ONNX file, or its problem, have arrived."""
        settled = not self._with_onnx or self.onnx is not None or bool(self.onnx_problem)
        return self.has_weights and settled

    @property
    def has_weights(self) -> bool:
        """True once every exported tensor has arrived."""
        return self._tensor_reader is not None and self._tensor_reader.complete

    @property
    def tensors(self) -> tuple[WeightTensor, ...]:
        """Exported tensors that have arrived."""
        return tuple(self._tensor_reader.tensors) if self._tensor_reader else ()

    def _allows(self, kind: bytes, length: int) -> bool:
        if kind == wire.TENSOR:
            reader = self._tensor_reader
            return self._phase == "weights" and reader is not None and reader.allows(length)
        if kind == wire.ONNX:
            fits = 0 < length <= MOST_ONNX_BYTES
            return self._phase == "onnx" and self.onnx is None and fits
        return super()._allows(kind, length)

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        if kind == wire.TENSOR:
            assert self._tensor_reader is not None, "_allows checks first"
            self._tensor_reader.take(payload)
            return None
        if kind == wire.ONNX:
            self.onnx = payload
            return None
        return super()._take(kind, payload)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        if "phase" not in facts:
            self._take_facts(facts)
            return None
        if facts["phase"] == "onnx" and not self.has_weights:
            raise wire.WireError("the weights are incomplete")
        refusal = super()._enter(facts)
        if self._phase == "weights":
            self.in_shape = _checked_shape(facts.get("in_shape"))
        return refusal

    def _take_facts(self, facts: dict[str, Any]) -> None:
        """Take the number of tensors, the next tensor's header, or the ONNX file's problem."""
        reader = self._tensor_reader
        if self._phase == "weights" and reader is None:
            self._tensor_reader = TensorReader(facts.get("tensors"))
        elif self._phase == "weights" and reader is not None:
            reader.announce(facts)
        elif self._phase == "onnx" and "onnx_problem" in facts:
            problem = clean(str(facts["onnx_problem"]), _MAX_PROBLEM)
            self.onnx_problem = " ".join(problem.split()) or "it failed"
        else:
            raise wire.WireError("facts out of order")


class AnswersJudge(Judge):
    """Judges one set of answers that a worker gives with a file of a trained network.

    It claims with `needs_setup` that the weights load only after `train_setup`.
    """

    def __init__(self, labels: Labels, classes: int, phases: tuple[str, ...]) -> None:
        """Expect one set of answers, once the worker has reported these phases in order."""
        super().__init__(labels, classes, 1, Budget())
        self._script = [*((name, 0) for name in phases), ("answer", 1)]
        self.needs_setup = False

    @property
    def judged(self) -> tuple[int, int]:
        """Number of correct answers and of images; only once the judge is done."""
        return self.epochs[-1].correct, self.epochs[-1].total

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        self.needs_setup = facts.get("needs_setup") is True
        return super()._enter(facts)


def _checked_shape(shape: object) -> tuple[int, ...]:
    """Check the shape of the input images, (1, c, h, w). Raises: wire.WireError."""
    if (
        not isinstance(shape, list)
        or len(shape) != 4
        or not all(type(n) is int and n > 0 for n in shape)
        or math.prod(shape) > _MOST_PIXELS
    ):
        raise wire.WireError("no shape of images")
    return tuple(shape)
