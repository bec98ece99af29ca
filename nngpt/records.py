"""The words of the project as frozen records; `DESIGN.md` of the project defines them.

A record carries facts and nothing else. Whatever a candidate does wrong is a `Refusal`, never
an exception.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Stage(StrEnum):
    """The gate at which a candidate was refused, in the order of the gates."""

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
    """Who wrote a candidate: the loop, or a control, of which the loop sees and learns nothing.

    `base` is the LLM as it was before the run, `corpus` no LLM at all: a network drawn from the
    corpus and changed at random (`nngpt.generation.prompts.mutation`).
    """

    LOOP = "loop"
    BASE = "base"
    CORPUS = "corpus"


class State(StrEnum):
    """Where an attempt stands (invariant 6). `admitted` and `refused` are final."""

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
    """What a network is judged on.

    Attributes:
        dataset: registered name, e.g. "cifar10".
        in_shape: (n, c, h, w); n is 1 as in LEMUR.
        out_shape: (classes,).
        metric: LEMUR metric name; "acc" is top-1 accuracy in 0…1.
        threshold: smallest first-epoch validation accuracy for admission, 0…1.
        max_parameters: largest number of trainable parameters, None for no limit.
        max_latency_ms: largest time of one image's forward pass, None for no limit.
    """

    dataset: str
    in_shape: tuple[int, int, int, int]
    out_shape: tuple[int, ...]
    threshold: float
    metric: str = "acc"
    max_parameters: int | None = None
    max_latency_ms: float | None = None


@dataclass(frozen=True)
class Message:
    """One chat message; role is "system", "user" or "assistant"."""

    role: str
    content: str


@dataclass(frozen=True)
class ShownBlock:
    """A library's block that a prompt shows, and where it comes from.

    Attributes:
        name: of its class.
        target: `source:module.Class`.
        version: of the source.
        licence: SPDX expression.
        sha256: of the library's file.
        code: a Python file that defines it and imports only torch and the standard library.
    """

    name: str
    target: str
    version: str
    licence: str
    sha256: str
    code: str = field(repr=False)


@dataclass(frozen=True)
class Prompt:
    """What the LLM is asked.

    Attributes:
        template: name of the file under `prompts/`.
        template_hash: sha256 (first 16 hex digits) of everything the template is made of.
        mode: name of the prompt mode, as in its template.
        messages: the chat so far, ending with a user message.
        prefill: the beginning of the assistant's answer; the completion continues it.
        stop: strings at which generation ends; the stop string is part of the completion.
        parent: in `delta` mode the network to change, as an answer of `full` mode; else "".
        blocks: that are shown; in `features` and `body` mode an answer may use them by name.
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
    """Decoding settings (defaults: the papers').

    Attributes:
        constrain: the settings after the code are written under a constraint.
    """

    temperature: float = 0.2
    top_k: int = 50
    top_p: float = 0.9
    max_new_tokens: int = 2048
    constrain: bool = False


@dataclass(frozen=True)
class Completion:
    """What the LLM returned for one prompt.

    Attributes:
        text: the continuation of the prefill, up to and including a stop string.
        model: base model name.
        adapter: adapter name, None for the bare base.
        seed: seed of the batch that this sample came from.
        index: place of this sample in its batch.
        prompt_tokens: tokens of the rendered prompt.
        completion_tokens: tokens written.
        seconds: wall time of the batch divided by its size.
        finished: False when the token limit cut it off.
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
    """A network that passed schema and contract; nothing of it has run yet.

    Attributes:
        code: the whole Python file that satisfies the LEMUR contract.
        written: the canonical completion from which `code` follows: reading it again gives
            the same candidate (invariant 1), and novelty is measured on it.
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
        """LEMUR's network id: md5 of the code without whitespace."""
        return content_hash(self.code)


@dataclass(frozen=True)
class Refusal:
    """An expected failure, as data: the stage, a short reason, and details for a person."""

    stage: Stage
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class EpochResult:
    """One epoch as the parent saw it.

    Attributes:
        epoch: counted from 1.
        accuracy: top-1 validation accuracy, 0…1, computed by the parent.
        correct: number of right answers.
        total: number of validation images.
        seconds: wall time of training this epoch and answering, by the parent's clock.
    """

    epoch: int
    accuracy: float
    correct: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Trial:
    """One of several trainings of a candidate: with another seed, or on another fold.

    Attributes:
        seed: seed given to the worker.
        fold: number of the fold it was judged on, from 1; 0 for the fixed split.
        accuracy: after the last epoch, 0…1.
        total: number of validation images.
    """

    seed: int
    fold: int
    accuracy: float
    total: int


@dataclass(frozen=True)
class Evaluation:
    """What training a candidate gave.

    What is called claimed was said by the process that ran the candidate, and is worth as much.

    Attributes:
        epochs: one result per epoch, in order; of several trials together.
        claimed_parameters: trainable parameters as the worker counted them.
        seconds: wall time of the whole evaluation, by the parent's clock.
        device: "cpu" or "cuda".
        seed: seed given to the worker (the first trial's).
        sandbox: containment level that was in force, with its layers.
        peak_memory_mb: largest resident memory of the worker in MiB, None if unknown.
        cpu_s: CPU seconds of the worker as the kernel counted them, None if unknown.
        claimed_flops: floating-point operations of one image's forward pass.
        claimed_latency_ms: milliseconds of one image's forward pass.
        claimed_batches: training batches drawn, over all epochs.
        protocol: how it was trained, as JSON; with `ceiling`, what it was said not to exceed, and
            `would_stop`, why it would have been stopped early had it not been chosen to run on.
        trials: each training, one unless the protocol asks for more.
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
    protocol: str = field(default="{}", repr=False)
    trials: tuple[Trial, ...] = ()

    @property
    def accuracy(self) -> float:
        """Validation accuracy after the last epoch, 0…1."""
        return self.epochs[-1].accuracy


@dataclass(frozen=True)
class Retraining:
    """What our own training loop made of a network, with another seed.

    Attributes:
        accuracy: after the last epoch, 0…1; None if the network cannot be trained that way.
        total: number of validation images.
        seed: seed given to the worker.
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
    """One tensor of a trained network, as the process that trained it sent it.

    Attributes:
        dtype: torch's name, such as "float32"; one of `nngpt.sandbox.tensors.ITEM_BYTES`.
        data: little-endian, in C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Exported:
    """A network trained once more, its weights, and how far they can be trusted.

    The files come from processes that ran the candidate. The counts of right answers are ours:
    fresh contained processes answered the validation images with nothing but the files.

    Attributes:
        evaluation: of the training that the weights come from.
        in_shape: (1, c, h, w) of what the network gets, after the transform; a claim if that
            transform has no name.
        tensors: the weights.
        weights: the safetensors file made of them.
        needs_setup: the weights load only after `train_setup`; a claim.
        loaded: right answers and images, of the code with the weights loaded from the file.
        onnx: the ONNX file (input "images" [b, c, h, w], output "logits"), None without one.
        onnx_judged: right answers and images of the ONNX file, None without one.
        onnx_engine: what ran it.
        onnx_problem: why there is none, "" if there is one or none was wanted.
    """

    evaluation: Evaluation
    in_shape: tuple[int, ...]
    tensors: tuple[WeightTensor, ...]
    weights: bytes = field(repr=False)
    needs_setup: bool
    loaded: tuple[int, int]
    onnx: bytes | None = field(default=None, repr=False)
    onnx_judged: tuple[int, int] | None = None
    onnx_engine: str = ""
    onnx_problem: str = ""


@dataclass(frozen=True)
class Rollout:
    """One answer of a group in reinforcement learning, and what became of it.

    Attributes:
        completion: what the LLM wrote.
        candidate: the network in it, None if there is none.
        outcome: what training it gave, or the gate at which it was refused.
    """

    completion: Completion
    candidate: Candidate | None
    outcome: Evaluation | Refusal


@dataclass(frozen=True)
class Novelty:
    """How near a candidate is to what is already known.

    Attributes:
        jaccard: exact Jaccard similarity to the nearest known network found, 0…1.
        nearest: key of that network, None if nothing was near enough to be proposed.
        duplicate: True when `jaccard` exceeds the measure's threshold.
    """

    jaccard: float
    nearest: str | None
    duplicate: bool


@dataclass(frozen=True)
class TrainingPair:
    """One example the LLM is tuned on: the prompt and the completion it should have written."""

    prompt: Prompt
    completion: str
    source: str


@dataclass(frozen=True)
class Adapter:
    """A LoRA checkpoint and its lineage (invariant 9).

    Attributes:
        name: unique, e.g. "smoke-mnist-3-c2".
        path: folder with `adapter_model.safetensors` and `adapter_config.json`.
        base: name of the base model.
        base_digest: fingerprint of the base's architecture.
        parent: name of the adapter that training started from, None for the base.
        corpus_hash: sha256 of the training pairs.
        pairs: number of training pairs.
        tokens: completion tokens trained on, over all epochs.
        loss_first: mean loss of the first optimiser step.
        loss_last: mean loss of the last optimiser step.
        seconds: wall time of the training.
        settings: the learning settings as JSON.
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


def content_hash(code: str) -> str:
    """md5 of `code` without any whitespace: LEMUR's network id (not a security measure)."""
    return hashlib.md5("".join(code.split()).encode(), usedforsecurity=False).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces, for hashing and comparing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def derive_seed(*parts: object) -> int:
    """A seed (31 bits) that depends on all parts and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
