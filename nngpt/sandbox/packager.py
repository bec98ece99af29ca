"""Measure a trained network by its files, without running any of it in this process.

Three workers run one after another. Two have the code and the weights: one answers the validation
images, as the training did; the other answers the test images, measures the network's cost and
makes an ONNX file. The third answers test images with that file, without the network's code. All
answers are judged here, by labels that only this process has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from nngpt.data.splits import Part
from nngpt.data.transform_names import spec
from nngpt.records import MOST_AXES, MOST_LAYERS, Candidate, Package, Refusal
from nngpt.sandbox import exit_reasons, wire
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import Job, JobFactory, JobResult
from nngpt.sandbox.judge import Budget, Judge, Labels, clean
from nngpt.sandbox.lane_pool import LanePool
from nngpt.sandbox.tensors import MOST_ONNX_BYTES

_FEW = 64
"""Number of images that the evaluator of the package onnx answers; it is slow."""

_MORE_S = 120.0
"""Own seconds for an ONNX file, beyond those of a training."""

_TOLERANCE = 0.01
"""Largest difference of an ONNX file's logits, as a share of the largest; rounding is far below."""

_MOST_PIXELS = 1 << 24
_MAX_PROBLEM = 300


@dataclass(frozen=True)
class Packager:
    """Measures trained networks with the workers of one executor.

    Attributes:
        machine: name of the processor or GPU.
        threads: number of threads of a worker.
        training_s: own seconds that a training may take.
    """

    pool: LanePool
    jobs: JobFactory
    machine: str
    threads: int
    training_s: float

    def package(
        self,
        candidate: Candidate,
        seed: int,
        fold: Fold,
        test: Part,
        weights: bytes,
        with_onnx: bool,
    ) -> Package | Refusal:
        """Measure a network whose weights are in a safetensors file.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        limit_s = self.training_s * max(1.0, test.count / max(1, fold.train_count)) + _MORE_S
        job = replace(self.jobs.training(candidate, seed, fold, work="weights"), file=weights)
        checked = self._run(job, ("build", "forward"), limit_s)
        if checked.refusal is not None:
            return checked.refusal
        labels = np.asarray(test.open_labels(), np.int64)
        tested = replace(fold, validation_images=test.open_images(), validation_labels=labels)
        # As `predict.py` of an exported network computes them, whatever the training's settings.
        plain: dict[str, object] = {"precision": "float32", "memory_format": "contiguous"}
        plain |= {"work": "package", "onnx": with_onnx, "latency": True}
        job = self.jobs.training(candidate, seed, tested, "own", **plain)
        job = replace(job, file=weights)
        make_judge = partial(PackageJudge, job.labels, job.description["classes"], with_onnx)
        result = self.pool.run(job, make_judge, limit_s)
        judge, problem = result.judge, result.judge.onnx_problem
        if result.refusal is not None:
            if judge.logits is None or result.refusal.reason in exit_reasons.HOSTILE:
                return result.refusal
            problem = f"making it {result.refusal.reason}"  # only the ONNX file is missing
        assert judge.logits is not None, "the judge is done"
        logits = np.empty_like(judge.logits)
        logits[job.order] = judge.logits
        package = Package(
            validation=checked.judge.judged,
            logits=logits,
            in_shape=_in_shape(job.description, judge.in_shape),
            needs_setup=judge.needs_setup,
            seed=seed,
            device=job.description["device"],
            machine=self.machine,
            threads=self.threads,
            claimed_parameters=judge.parameters,
            claimed_flops=judge.flops,
            claimed_latency_ms=judge.latency_ms,
            claimed_batch_ms=judge.batch_ms,
            claimed_layers=judge.layers,
            onnx_problem=problem,
        )
        if judge.onnx is None:
            return package
        return self._with_onnx(candidate, seed, tested, package, judge.onnx, limit_s)

    def _with_onnx(
        self,
        candidate: Candidate,
        seed: int,
        fold: Fold,
        package: Package,
        file: bytes,
        limit_s: float,
    ) -> Package:
        """Add the ONNX file if a worker without the network's code can answer images with it."""
        engine = "onnx" if find_spec("onnxruntime") is None else "onnxruntime"
        settings = {"work": "onnx", "code": "", "device": "cpu", "engine": engine}
        job = replace(self.jobs.training(candidate, seed, fold, **settings), file=file)
        if engine == "onnx":
            order = job.order[:_FEW]
            description = job.description | {"validation_count": len(order)}
            job = replace(job, order=order, description=description)
        result = self._run(job, ("build",), limit_s)
        if result.refusal is not None:
            why = f"the file does not work: {result.refusal.reason}"
            return replace(package, onnx_problem=why)
        assert result.judge.logits is not None, "the judge is done"
        expected = package.logits[job.order]
        error = np.abs(result.judge.logits - expected).max(initial=0)
        if error > _TOLERANCE * max(1.0, np.abs(expected).max(initial=0)):
            why = f"its logits differ from the network's by up to {error:.2g}"
            return replace(package, onnx_problem=f"{why}: torch recorded another path")
        # The package onnxruntime has distributions of several names.
        (distribution, *_) = packages_distributions().get(engine, [engine])
        return replace(
            package,
            onnx=file,
            onnx_judged=result.judge.judged,
            onnx_error=float(error),
            onnx_engine=f"{engine} {version(distribution)}",
        )

    def _run(self, job: Job, phases: tuple[str, ...], limit_s: float) -> JobResult[AnswersJudge]:
        make_judge = partial(AnswersJudge, job.labels, job.description["classes"], phases)
        return self.pool.run(job, make_judge, limit_s)


def _in_shape(description: Mapping[str, Any], claimed: tuple[int, ...]) -> tuple[int, ...]:
    """Return the network's input shape: known for a named transform, else as its worker claims."""
    known, (channels, height, width) = spec(description["transform"]), description["shape"]
    if known is None:
        return claimed
    return (1, channels, known.size or height, known.size or width)


class AnswersJudge(Judge):
    """Judges one set of answers that a worker gives with a file of a trained network.

    Attributes:
        logits: the answers in the worker's order, float32 [n, classes]; None before they arrive.
    """

    def __init__(self, labels: Labels, classes: int, phases: tuple[str, ...]) -> None:
        """Expect one set of answers, once the worker has reported these phases in order."""
        super().__init__(labels, classes, 1, Budget())
        self._script = [*((name, 0) for name in phases), ("answer", 1)]
        self.logits: npt.NDArray[np.float32] | None = None

    @property
    def judged(self) -> tuple[int, int]:
        """Number of correct answers and of images; only once the judge is done."""
        return self.epochs[-1].correct, self.epochs[-1].total

    def _logits(self, payload: bytes) -> Refusal | None:
        refusal = super()._logits(payload)
        if refusal is None:
            self.logits = np.frombuffer(payload, "<f4").reshape(-1, self._classes)
        return refusal


class PackageJudge(AnswersJudge):
    """Judges answers, takes the network's cost before them and, if wanted, an ONNX file after.

    Attributes:
        in_shape: (1, c, h, w) of the network's input, as the worker claims.
        needs_setup: True if the weights load only after `train_setup`, as it claims.
        batch_ms: milliseconds of a batch's forward pass, as it claims; None if unknown.
        layers: class and output shape of the layers that an image passes, as it claims.
        onnx: the ONNX file, None before it arrives.
        onnx_problem: why the worker could not make an ONNX file, "" if it reported no problem.
    """

    def __init__(self, labels: Labels, classes: int, with_onnx: bool) -> None:
        super().__init__(labels, classes, ("build", "forward", "cost"))
        self._script += [("onnx", 0)] if with_onnx else []
        self._with_onnx = with_onnx
        self.in_shape: tuple[int, ...] = ()
        self.needs_setup = False
        self.batch_ms: float | None = None
        self.layers: tuple[tuple[str, tuple[int, ...]], ...] = ()
        self.onnx: bytes | None = None
        self.onnx_problem = ""

    @property
    def done(self) -> bool:
        """True once the answers and the ONNX file, or its problem, have arrived."""
        settled = not self._with_onnx or self.onnx is not None or bool(self.onnx_problem)
        return super().done and settled

    def _allows(self, kind: bytes, length: int) -> bool:
        if kind == wire.ONNX:
            fits = 0 < length <= MOST_ONNX_BYTES
            return self._phase == "onnx" and self.onnx is None and fits
        return super()._allows(kind, length)

    def _take(self, kind: bytes, payload: bytes) -> Refusal | None:
        if kind == wire.ONNX:
            self.onnx = payload
            return None
        return super()._take(kind, payload)

    def _enter(self, facts: dict[str, Any]) -> Refusal | None:
        if self._phase == "onnx" and "onnx_problem" in facts:
            problem = clean(str(facts["onnx_problem"]), _MAX_PROBLEM)
            self.onnx_problem = " ".join(problem.split()) or "it failed"
            return None
        refusal = super()._enter(facts)
        if self._phase == "cost":
            self.in_shape = _checked_shape(facts.get("in_shape"))
            self.needs_setup = facts.get("needs_setup") is True
            self._check_cost({**facts, "latency_ms": facts.get("batch_ms")})
            self.batch_ms = self.latency_ms
            self.layers = _checked_layers(facts.get("layers", []))
            self._check_cost(facts)
        return refusal


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


def _checked_layers(layers: object) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Check class and output shape of layers. Raises: wire.WireError."""
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise wire.WireError("no layers")
    found = []
    for layer in layers:
        name, shape = layer if isinstance(layer, list) and len(layer) == 2 else (None, None)
        if not isinstance(name, str) or not name or not isinstance(shape, list):
            raise wire.WireError("no layer")
        if len(shape) > MOST_AXES or not all(
            type(n) is int and 0 <= n <= _MOST_PIXELS for n in shape
        ):
            raise wire.WireError("no shape of a layer")
        found.append((clean(name, _MAX_PROBLEM), tuple(shape)))
    return tuple(found)
