"""Exports a trained network without running any of it in this process.

Three workers, one after another: the first trains it and sends its weights and an ONNX file; the
second is a fresh one that loads the weights and answers the validation images; the third has the
ONNX file and none of the code. All three are judged here.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nngpt.data.transform_names import spec
from nngpt.records import Candidate, Exported, Refusal
from nngpt.sandbox import exit_reasons, tensors
from nngpt.sandbox.export_judges import Answers, Collector
from nngpt.sandbox.folds import Fold
from nngpt.sandbox.judge import secret_order

if TYPE_CHECKING:
    from nngpt.sandbox.executors.local import LocalExecutor

Order = npt.NDArray[np.int64]

_FEW = 64
"""So many images are answered by ONNX's own evaluator, which is slow."""


def export(
    executor: LocalExecutor, candidate: Candidate, seed: int, with_onnx: bool
) -> Exported | Refusal:
    """Train, take the files, try the files.

    Raises:
        ExecutionError: the sandbox itself does not work.
    """
    fold = executor.fold()
    order = secret_order(fold.validation_labels, candidate.content_hash, seed)
    job = executor.describe(candidate, seed, fold, work="export", onnx=with_onnx)
    labels, classes = fold.validation_labels[order], job["classes"]
    budget = replace(executor.budget(), latency_ms=None, seconds=None)

    def collector() -> Collector:
        return Collector(labels, classes, job["epochs"], budget, with_onnx)

    heard = executor.attend(collector, job, fold, order)
    taken, problem = heard.judge, heard.judge.onnx_problem
    if heard.refusal is not None:
        if not taken.has_weights or heard.refusal.reason in exit_reasons.HOSTILE:
            return heard.refusal
        problem = heard.refusal.reason  # only the ONNX file is missing
    weights = tensors.safetensors_file(taken.tensors)
    loaded = _load(executor, candidate, seed, fold, order, weights)
    if isinstance(loaded, Refusal):
        return loaded
    exported = Exported(
        evaluation=executor.evaluated(heard, seed, fold),
        in_shape=_in_shape(job, taken.in_shape),
        tensors=taken.tensors,
        weights=weights,
        needs_setup=loaded.needs_setup,
        loaded=loaded.judged,
        onnx_problem=problem,
    )
    if taken.onnx is None:
        return exported
    return _with_onnx(executor, candidate, seed, fold, order, exported, taken.onnx)


def _load(
    executor: LocalExecutor, candidate: Candidate, seed: int, fold: Fold, order: Order, file: bytes
) -> Answers | Refusal:
    """Answers of a fresh worker that has the code and the weights."""
    job = executor.describe(candidate, seed, fold, work="weights")
    labels = fold.validation_labels[order]

    def judge() -> Answers:
        return Answers(labels, job["classes"], ("build", "forward"))

    heard = executor.attend(judge, job, fold, order, file)
    return heard.refusal or heard.judge


def _with_onnx(
    executor: LocalExecutor,
    candidate: Candidate,
    seed: int,
    fold: Fold,
    order: Order,
    exported: Exported,
    file: bytes,
) -> Exported:
    """With the ONNX file, if a worker that has nothing else of the network can use it."""
    engine = "onnx" if find_spec("onnxruntime") is None else "onnxruntime"
    if engine == "onnx":
        order = order[:_FEW]
    job = executor.describe(candidate, seed, fold, work="onnx", code="", device="cpu")
    job |= {"engine": engine, "validation_count": len(order)}
    labels = fold.validation_labels[order]

    def judge() -> Answers:
        return Answers(labels, job["classes"], ("build",))

    heard = executor.attend(judge, job, fold, order, file)
    if heard.refusal is not None:
        return replace(exported, onnx_problem=f"the file is no good: {heard.refusal.reason}")
    judged, name = heard.judge.judged, _with_version(engine)
    return replace(exported, onnx=file, onnx_judged=judged, onnx_engine=name)


def _in_shape(job: dict[str, Any], claimed: tuple[int, ...]) -> tuple[int, ...]:
    """What the network gets: known for a named transform, else as its worker said."""
    known, (channels, height, width) = spec(job["transform"]), job["shape"]
    if known is None:
        return claimed
    return (1, channels, known.size or height, known.size or width)


def _with_version(package: str) -> str:
    """A package and its version; onnxruntime comes in distributions of several names."""
    (first, *_) = packages_distributions().get(package, [package])
    return f"{package} {version(first)}"
