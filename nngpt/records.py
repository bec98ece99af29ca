"""The words of nngpt as frozen dataclasses, with hashes of content, canonical JSON and seeds.

A record holds facts and no behaviour. A candidate's mistake is a `Refusal`, never an exception.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Stage(StrEnum):
    """Gate that refuses a candidate, in the order of the gates."""

    PARSE = "parse"
    CONTRACT = "contract"
    SAFETY = "safety"
    DUPLICATE = "duplicate"
    BUILD = "build"
    FORWARD = "forward"
    TRAIN = "train"
    JUDGE = "judge"
    THRESHOLD = "threshold"
    NOVELTY = "novelty"


class Arm(StrEnum):
    """Arm that produces a candidate: the loop, or a control that it never sees or trains on.

    `base` is the LLM as it was before the run. `corpus` uses no LLM: it changes networks of the
    corpus at random (`nngpt.generation.llm.mutation`).
    """

    LOOP = "loop"
    BASE = "base"
    CORPUS = "corpus"


class Proxy(StrEnum):
    """Zero-cost proxy of an untrained network; `nngpt.sandbox.proxies` computes them."""

    SYNFLOW = "synflow"
    JACOB_COV = "jacob_cov"
    GRAD_NORM = "grad_norm"


class State(StrEnum):
    """State of an attempt in the database. `admitted` and `refused` are final."""

    GENERATED = "generated"
    PARSED = "parsed"
    VALIDATED = "validated"
    TRAINING = "training"
    TRAINED = "trained"
    JUDGED = "judged"
    ADMITTED = "admitted"
    REFUSED = "refused"


@dataclass(frozen=True)
class Task:
    """Data set, metric and limits that a network is judged by.

    Attributes:
        dataset: name of the data set, such as "cifar10".
        in_shape: (n, c, h, w); n is 1 as in LEMUR.
        out_shape: (classes,).
        metric: LEMUR metric name; "acc" is top-1 accuracy in 0…1.
        threshold: smallest first-epoch validation accuracy for admission, 0…1.
        max_parameters: largest number of trainable parameters, None for no limit.
        max_latency_ms: largest time of one image's forward pass in ms, None for no limit.
        least_proxy: smallest values of zero-cost proxies with which a network is trained.
    """

    dataset: str
    in_shape: tuple[int, int, int, int]
    out_shape: tuple[int, ...]
    threshold: float
    metric: str = "acc"
    max_parameters: int | None = None
    max_latency_ms: float | None = None
    least_proxy: Mapping[Proxy, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Message:
    """One chat message; role is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class ShownBlock:
    """A block of a library that a prompt shows, and its origin.

    Attributes:
        name: name of the block's class.
        target: `source:module.Class`.
        version: version of the source.
        licence: SPDX expression.
        sha256: digest of the library's file.
        code: a Python file that defines the block and imports only torch and the standard library.
    """

    name: str
    target: str
    version: str
    licence: str
    sha256: str
    code: str = field(repr=False)


@dataclass(frozen=True)
class Prompt:
    """The messages to the LLM, with the beginning and the end of its answer.

    Attributes:
        template: name of the file under `prompts/`.
        template_hash: first 16 hex digits of the sha256 of the whole template.
        mode: name of the prompt mode, as in its template.
        messages: the chat, ending with a user message.
        prefill: beginning of the assistant's answer; the completion continues it.
        stop: strings at which generation ends; the stop string is part of the completion.
        parent: in `delta` mode the network to change, as an answer of `full` mode; else "".
        blocks: library blocks shown; in `features` and `body` mode an answer may use their names.
    """

    template: str
    template_hash: str
    mode: str
    messages: tuple[Message, ...]
    prefill: str = ""
    stop: tuple[str, ...] = ()
    parent: str = ""
    blocks: tuple[ShownBlock, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """Decoding settings of the LLM (defaults: the papers').

    Attributes:
        constrain: True to write the settings after the code under a grammar.
    """

    temperature: float = 0.2
    top_k: int = 50
    top_p: float = 0.9
    max_new_tokens: int = 2048
    constrain: bool = False


RANDOM_CHANGE = "none: a changed corpus network"
"""The model's name in completions that are random changes of known answers."""


@dataclass(frozen=True)
class Completion:
    """One text that the LLM returned for a prompt.

    Attributes:
        text: continuation of the prefill, up to and including a stop string.
        model: name of the base model.
        adapter: name of the adapter, None for the bare base.
        seed: seed of the batch.
        index: position in the batch, from 0.
        prompt_tokens: number of tokens of the rendered prompt.
        completion_tokens: number of generated tokens.
        seconds: wall time of the batch divided by its size.
        finished: False if the token limit cut the text off.
    """

    text: str
    model: str
    adapter: str | None
    seed: int
    index: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    finished: bool = True


@dataclass(frozen=True)
class Candidate:
    """A network that satisfies schema and contract; none of its code has run.

    Attributes:
        code: the whole Python file that satisfies the LEMUR contract.
        written: the canonical completion, from which reading gives the same candidate again
            (One renderer, docs/design.md), but for proposed hyperparameters (`evaluation.hpo`).
        mode: name of the prompt mode of the answer.
        hyperparameters: a value for each supported hyperparameter.
        transform: a transform name or `torchvision.transforms.v2` source.
        batch: batch size.
    """

    code: str
    written: str
    mode: str
    hyperparameters: Mapping[str, float]
    transform: str
    batch: int

    @property
    def content_hash(self) -> str:
        """Network id of LEMUR: md5 of the code without whitespace."""
        return content_hash(self.code)


@dataclass(frozen=True)
class Refusal:
    """An expected failure of a candidate: the stage, a short reason, and details for the user."""

    stage: Stage
    reason: str
    detail: str = ""


MAX_EFFORT = 4.0
"""Largest training time of a network's own code, relative to our own loop on the same network.

One pass over the images that works twice per batch (SAM) takes twice the time.
"""


MOST_PER_GPU = 4
"""How many trainings share a GPU at most, unless `evaluation.workers` asks for more."""


def extra_epochs(effort: float | None, sharing: int = 1) -> Refusal | None:
    """Return the refusal of a training whose effort exceeds `MAX_EFFORT`, None for others.

    Each of the others of `sharing` trainings on one GPU may have made it take longer.
    """
    most = MAX_EFFORT * sharing
    if effort is None or effort <= most:
        return None
    what = f"it trained {effort:.1f} × as long as our own loop"
    return Refusal(Stage.TRAIN, f"extra epochs: {what}, the limit is {most:g} ×")


@dataclass(frozen=True)
class EpochResult:
    """Result of one epoch of a candidate's training, as computed by the parent process.

    Attributes:
        epoch: number of the epoch, from 1.
        accuracy: top-1 validation accuracy, 0…1.
        correct: number of correct predictions.
        total: number of validation images.
        seconds: wall time of training and prediction, by the parent's clock.
    """

    epoch: int
    accuracy: float
    correct: int
    total: int
    seconds: float


class Result(NamedTuple):
    """The accuracy of a network, and what its interval depends on.

    Attributes:
        accuracy: share of correct predictions, 0…1; the mean of several trainings.
        images: number of different images that were predicted, 0 if there is to be no interval.
        trainings: accuracy of each training if there were several (seeds, folds), else ().
    """

    accuracy: float
    images: int
    trainings: tuple[float, ...] = ()


@dataclass(frozen=True)
class Trial:
    """Result of one of several trainings of a candidate, with one seed on one fold.

    Attributes:
        seed: seed of the worker.
        fold: number of the validation fold, from 1; 0 for the fixed split.
        accuracy: validation accuracy after the last epoch, 0…1.
        total: number of validation images.
    """

    seed: int
    fold: int
    accuracy: float
    total: int


@dataclass(frozen=True)
class Evaluation:
    """Result of training a candidate.

    `claimed_` values come from the process that ran the candidate and cannot be trusted.

    Attributes:
        epochs: one result per epoch, in order; the answers of several trials are counted together,
            so that `total` counts an image once per training.
        claimed_parameters: number of trainable parameters, by the worker's count.
        seconds: wall time of the whole evaluation, by the parent's clock.
        device: "cpu" or "cuda".
        seed: seed of the worker (of the first trial).
        sandbox: containment level in force, with its layers.
        peak_memory_mb: largest resident memory of the worker in MiB, None if unknown.
        cpu_s: CPU seconds of the worker, by the kernel's count, None if unknown.
        claimed_flops: floating-point operations of one image's forward pass.
        claimed_latency_ms: milliseconds of one image's forward pass.
        claimed_batches: number of training batches over all epochs.
        claimed_proxies: zero-cost proxies by name, each None if it could not be computed; None
            without `evaluation.proxies`.
        protocol: training settings as JSON; with `ceiling`, the accuracy that the pruner did not
            expect to be exceeded, and `would_stop`, why it would have stopped an exempt training.
        trials: one record per training, more than one only if the protocol asks for it.
    """

    epochs: tuple[EpochResult, ...]
    claimed_parameters: int
    seconds: float
    device: str
    seed: int
    sandbox: str
    peak_memory_mb: float | None = None
    cpu_s: float | None = None
    claimed_flops: int | None = None
    claimed_latency_ms: float | None = None
    claimed_batches: int | None = None
    claimed_proxies: Mapping[str, float | None] | None = field(default=None, hash=False)
    protocol: str = field(default="{}", repr=False)
    trials: tuple[Trial, ...] = ()

    @property
    def accuracy(self) -> float:
        """Validation accuracy after the last epoch, 0…1."""
        return self.epochs[-1].accuracy

    @property
    def curve(self) -> tuple[Result, ...]:
        """The result after each epoch; only the last one knows its several trainings."""
        last, trials = self.epochs[-1], self.trials
        if len(trials) < 2:
            return tuple(Result(epoch.accuracy, epoch.total) for epoch in self.epochs)
        images = sum({trial.fold: trial.total for trial in trials}.values())
        whole = Result(last.accuracy, images, tuple(trial.accuracy for trial in trials))
        return (*(Result(epoch.accuracy, 0) for epoch in self.epochs[:-1]), whole)

    @property
    def result(self) -> Result:
        """The result after the last epoch."""
        return self.curve[-1]


@dataclass(frozen=True)
class Retraining:
    """Result of training a network with nngpt's own training loop and another seed.

    Attributes:
        accuracy: validation accuracy after the last epoch, 0…1; None if the training failed.
        total: number of validation images.
        seed: seed of the worker.
        seconds: wall time, by the parent's clock.
        cpu_s: CPU seconds of the worker, None if unknown.
        reason: why there is no accuracy, "" if there is one.
    """

    accuracy: float | None
    total: int
    seed: int
    seconds: float
    cpu_s: float | None
    reason: str = ""


@dataclass(frozen=True)
class WeightTensor:
    """One tensor of a trained network, as sent by the process that trained it.

    Attributes:
        name: name in the network's state dict.
        dtype: torch's name, such as "float32"; one of `nngpt.sandbox.tensors.ITEM_BYTES`.
        shape: lengths of the dimensions.
        data: little-endian bytes in C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class TrainingStage:
    """One stage of a training with nngpt's own recipe, which continues the stage before it.

    Attributes:
        images: number of training images to pass; more than there are make several epochs.
        first: number of batches that earlier stages passed.
        schedule: (progress, learning rate) points of the stage, progress from 0 to 1.
        seconds: wall seconds after which the stage ends early, its learning rates compressed
            accordingly; None to pass all images.
        optimiser: "sgd" (Nesterov momentum 0.9) or "adamw".
        transform: name of the image transform (`nngpt.data.transform_names`).
        precision, memory_format: as in `evaluation`.
        small: share of the stage, from its start, in which images have three quarters of their
            sides, if the network takes both sizes: it learns from more of them in that time.
    """

    images: int
    first: int
    schedule: tuple[tuple[float, float], ...]
    seconds: float | None = None
    optimiser: str = "sgd"
    batch: int = 128
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    transform: str = "norm"
    precision: str = "float32"
    memory_format: str = "contiguous"
    small: float = 0.0


@dataclass(frozen=True)
class StagedTraining:
    """A network after a stage of its training.

    Attributes:
        correct, total: predictions of the validation images.
        batches: number of training batches of all stages, as the worker claims.
        seconds: wall seconds of the stage with its process's start and predictions.
        state: safetensors file with the weights and the optimiser's state, for the next stage.
        claimed_parameters, claimed_flops, claimed_latency_ms: as of an `Evaluation`.
        own_s: the worker's own seconds of training, without its start and its predictions.
    """

    correct: int
    total: int
    batches: int
    seconds: float
    state: bytes = field(repr=False)
    claimed_parameters: int = 0
    claimed_flops: int | None = None
    claimed_latency_ms: float | None = None
    own_s: float = 0.0

    @property
    def accuracy(self) -> float:
        """Validation accuracy, 0…1."""
        return self.correct / self.total


@dataclass(frozen=True)
class Exported:
    """A network trained again for export, and its weights, which a contained process sent.

    Attributes:
        evaluation: result of the training that produced the weights.
        tensors: the weights.
        weights: contents of the safetensors file with the weights.
    """

    evaluation: Evaluation
    tensors: tuple[WeightTensor, ...]
    weights: bytes = field(repr=False)


@dataclass(frozen=True)
class Package:
    """What a trained network's files give, in fresh contained processes that hold nothing else.

    The counts of correct predictions are nngpt's own; `claimed_` values, and `in_shape` and
    `needs_setup`, come from a process that ran the network and cannot be trusted.

    Attributes:
        validation: (correct, total) predictions of the validation images, by the settings of the
            training (precision, memory format, batch).
        logits: for the test images in the order of their part, float32 [n, classes], computed in
            float32 by the code with the weights.
        in_shape: (1, c, h, w) of the network's input after the transform; known, not claimed, if
            the transform has a name.
        needs_setup: True if the weights load only after `train_setup`.
        seed: seed with which the code was executed and the network built.
        device: "cpu" or "cuda".
        machine: name of the processor or GPU.
        threads: number of threads that the network could use.
        claimed_parameters: number of trainable parameters.
        claimed_flops: floating-point operations of one image's forward pass, None if unknown.
        claimed_latency_ms: median milliseconds of one image's forward pass, None if unknown.
        claimed_batch_ms: likewise of `LATENCY_BATCH` images at once.
        claimed_layers: class and output shape (without the batch) of the layers that an image
            passes, in order.
        onnx: contents of the ONNX file (input "images" [b, c, h, w], output "logits"), or None.
        onnx_judged: (correct, total) predictions of test images by the ONNX file, None without one.
        onnx_error: largest difference between the ONNX file's logits and the network's.
        onnx_engine: name of the engine that ran the ONNX file.
        onnx_problem: why there is no ONNX file, "" if there is one or none was requested.
    """

    validation: tuple[int, int]
    logits: npt.NDArray[np.float32] = field(repr=False)
    in_shape: tuple[int, ...]
    needs_setup: bool
    seed: int
    device: str
    machine: str
    threads: int
    claimed_parameters: int
    claimed_flops: int | None
    claimed_latency_ms: float | None
    claimed_batch_ms: float | None
    claimed_layers: tuple[tuple[str, tuple[int, ...]], ...] = ()
    onnx: bytes | None = field(default=None, repr=False)
    onnx_judged: tuple[int, int] | None = None
    onnx_error: float | None = None
    onnx_engine: str = ""
    onnx_problem: str = ""


LATENCY_BATCH = 64
"""Number of images in the batch whose latency a `Package` tells."""

MOST_LAYERS = 500
"""Number of layers that a `Package` lists at most."""

MOST_AXES = 8
"""Number of axes, without the batch, of the output of a layer that a `Package` lists."""


@dataclass(frozen=True)
class Rollout:
    """One answer of a group in reinforcement learning, with its outcome.

    Attributes:
        completion: text of the LLM.
        candidate: network in the text, None if there is none.
        outcome: result of its training, or its refusal.
    """

    completion: Completion
    candidate: Candidate | None
    outcome: Evaluation | Refusal


@dataclass(frozen=True)
class Novelty:
    """Similarity of a candidate to the nearest known network.

    Attributes:
        jaccard: Jaccard similarity to the nearest known network found, 0…1, as the measure has
            computed or estimated it.
        nearest: key of the nearest network, None if the index proposed none.
        duplicate: True if `jaccard` exceeds the measure's threshold or is 1.
    """

    jaccard: float
    nearest: str | None
    duplicate: bool


@dataclass(frozen=True)
class TrainingPair:
    """One training example of the LLM: a prompt, its completion, and how good that is.

    Attributes:
        finished: False if the token limit cut the completion off, so that it does not end its turn.
        rival: a worse completion, for learners that compare two; "" for none.
        advantage: by how much the completion is better than its group, for learners of groups.
    """

    prompt: Prompt
    completion: str
    source: str
    finished: bool = True
    rival: str = ""
    advantage: float = 0.0


@dataclass(frozen=True)
class MeasuredAnswer:
    """An answer of a run as it was written, and what it achieved.

    Attributes:
        pair: the answer with the prompt that it answers; for a repair, the original prompt.
        cycle: cycle in which it was written.
        parsed: True if a network could be read in it.
        accuracy: the accuracy that counts, 0…1; None if it failed.
    """

    pair: TrainingPair
    cycle: int
    parsed: bool
    accuracy: float | None


@dataclass(frozen=True)
class Adapter:
    """A LoRA checkpoint and its lineage (Lineage, docs/design.md).

    Attributes:
        name: unique name, such as "smoke-mnist-3-c2".
        path: folder with `adapter_model.safetensors` and `adapter_config.json`.
        base: name of the base model.
        base_digest: fingerprint of the base model's architecture.
        parent: name of the adapter that training started from, None for the base.
        corpus_hash: sha256 of the training pairs.
        pairs: number of training pairs.
        tokens: number of completion tokens trained on, over all epochs.
        loss_first: mean loss of the first optimiser step.
        loss_last: mean loss of the last optimiser step.
        seconds: wall time of the training.
        settings: the `learning` settings as JSON.
        held_out: number of pairs whose loss was measured and that were not trained on.
        held_out_first: their mean loss per answer token before the training, None without pairs.
        held_out_last: the same after the training.
    """

    name: str
    path: str
    base: str
    base_digest: str
    parent: str | None
    corpus_hash: str
    pairs: int
    tokens: int
    loss_first: float
    loss_last: float
    seconds: float
    settings: str = field(default="{}", repr=False)
    held_out: int = 0
    held_out_first: float | None = None
    held_out_last: float | None = None


@dataclass(frozen=True)
class TrackedRun:
    """The run that a tracker shows.

    Attributes:
        name: name of the run.
        number: number of the run in its database.
        folder: an existing folder for the tracker's own files about the run.
        settings: the run's configuration, as nested values.
        key: what the tracker called the run when it was first tracked, None before.
    """

    name: str
    number: int
    folder: Path
    settings: Mapping[str, Any] = field(repr=False)
    key: str | None


@dataclass(frozen=True)
class TrackedEvent:
    """What a tracker logs: a candidate that is admitted or refused, or a cycle that is closed.

    Attributes:
        kind: "candidate" or "cycle".
        number: number of the attempt or of the cycle: the x axis of charts.
        at: when it happened: ISO 8601, UTC.
        figures: numbers by name; accuracies and shares are 0…1, names of seconds end with `_s`.
        facts: texts by name, such as the state.
        curve: validation accuracy of a candidate after each epoch, 0…1.
    """

    kind: str
    number: int
    at: str
    figures: Mapping[str, float]
    facts: Mapping[str, str]
    curve: tuple[float, ...] = ()


def content_hash(code: str) -> str:
    """Return a record's network id, as LEMUR's: the md5 of `code` without whitespace."""
    return hashlib.md5("".join(code.split()).encode(), usedforsecurity=False).hexdigest()


def canonical_json(value: Any) -> str:
    """Return canonical JSON of a record's values: sorted keys, no spaces, to hash and compare."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def derive_seed(*parts: object) -> int:
    """Return the 31-bit seed of one step, as records store it: it depends on all parts only."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
