"""Export a trained network without running any of it in this process.

Three workers run one after another: the first trains the network and sends its weights and an ONNX
file; the second loads the weights into a fresh network and answers the validation images; the
third answers them with the ONNX file, without the network's code. All answers are judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import Any

from nngpt.data.transform_names import spec
from nngpt.records import Candidate, Evaluation, Exported, Refusal
from nngpt.sandbox import exit_reasons, tensors
from nngpt.sandbox.export_judges import AnswersJudge, ExportJudge
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.jobs import JobFactory, JobResult
from nngpt.sandbox.judge import Budget
from nngpt.sandbox.lane_pool import LanePool

_FEW = 64
"""Number of images that the evaluator of the package onnx answers; it is slow."""


@dataclass(frozen=True)
class Exporter:
    """Exports networks with the workers of one executor."""

    pool: LanePool
    jobs: JobFactory
    evaluation_of: Callable[[JobResult[ExportJudge], int, Fold], Evaluation]
    budget: Budget

    def export(
        self, candidate: Candidate, seed: int, fold: Fold, with_onnx: bool
    ) -> Exported | Refusal:
        """Export a network: train it, take its weights and ONNX file, and try both.

        Raises: ExecutionError if the sandbox itself does not work.
        """
        job = self.jobs.training(candidate, seed, fold, work="export", onnx=with_onnx)
        budget = replace(self.budget, latency_ms=None, seconds=None)
        protocol = job.description["classes"], job.description["epochs"], budget
        result = self.pool.run(job, lambda: ExportJudge(job.labels, *protocol, with_onnx))
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
        return self.pool.run(job, lambda: AnswersJudge(job.labels, classes, phases))

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
        result = self.pool.run(job, lambda: AnswersJudge(job.labels, classes, ("build",)))
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
