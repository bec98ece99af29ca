"""Run one candidate from source to answers: train it, or try a file of a trained network.

Runs in the worker only. A candidate may patch anything in here and gains nothing by it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nngpt.records import LATENCY_BATCH
from nngpt.sandbox import (
    candidate_module,
    export_worker,
    network_cost,
    onnx_worker,
    proxies,
    transforms,
    wire,
)
from nngpt.sandbox.candidate_module import RejectedError
from nngpt.sandbox.sealed_memory import mapped
from nngpt.sandbox.staged_training import StagedTrainingLoop
from nngpt.sandbox.tensors import WEIGHTS
from nngpt.sandbox.training_loop import (
    PlainTrainingLoop,
    TrainingData,
    answering_batches,
    is_checked,
    is_reported,
)


@dataclass(frozen=True)
class Inputs:
    """File descriptors of a candidate's run; to try a file, `train_images` holds that file."""

    result: int
    job: int
    train_images: int
    train_labels: int
    validation_images: int
    state: int


class CandidateRun:
    """Trains a candidate, or answers with a file of a trained network, as a `Job` describes."""

    def __init__(self, job: Mapping[str, Any], inputs: Inputs) -> None:
        self.job, self.inputs = job, inputs
        self.device = torch.device(job["device"])
        formats = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
        self.memory_format = formats[job["memory_format"]]

    def work(self) -> None:
        """Run the candidate: train it, or answer with a file of a trained network."""
        seed = self.job["seed"]
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        if self.job["work"] in ("weights", "package"):
            self._answer_with_weights()
        elif self.job["work"] == "onnx":
            self._answer_with_onnx()
        elif self.job["work"] == "stage":
            self._train_stage()
        else:
            self._train()

    def _train(self) -> None:
        module, net = self._build(self._load_data)
        facts: dict[str, object] = {**self._measure(net)}
        if self.job["proxies"]:
            facts["proxies"] = proxies.measure(net, self.images, self.labels, self._transform)
        self._phase("setup", **facts)
        net.train()
        prm = candidate_module.supported_values(module, self.job)
        learner = net
        if self.job["loop"] == "plain":
            learner = PlainTrainingLoop(net, prm)
        else:
            net.train_setup(prm)
        for epoch in range(1, self.job["epochs"] + 1):
            self._phase("learn", epoch=epoch)
            net.train()
            data = self._training_data(net, epoch)
            with self._precision():
                learner.learn(data)
            self._phase("answer", epoch=epoch, batches=data.drawn)
            self._send_answers(net)
        if self.job["work"] == "export":
            export_worker.send_weights(self.inputs.result, net.state_dict)

    def _train_stage(self) -> None:
        """Train a stage; send the weights, and the optimiser's state for the next stage."""
        module, net = self._build(self._load_data)
        self._phase("setup", **self._measure(net))
        net.train()
        state = export_worker.read_tensors(_content(self.inputs.state))
        weights = {n.removeprefix(WEIGHTS): t for n, t in state.items() if n.startswith(WEIGHTS)}
        if weights:
            prm = candidate_module.supported_values(module, self.job)
            export_worker.load_weights(net, lambda: net.train_setup(prm), weights)
        loop = StagedTrainingLoop(net, self.job["stage"])
        loop.load_state(state)
        first = self.job["stage"]["first"]  # other random crops than in the stages before
        torch.manual_seed((self.job["seed"] * 1_000_003 + first) % 2**63)
        self._phase("learn", epoch=1)
        with self._precision():
            args = self.images, self.labels, self._transform, self.job["seed"]
            batches = loop.run(*args, self._divergence_check(net))
        self._phase("answer", epoch=1, batches=batches)
        self._send_answers(net)
        export_worker.send_weights(self.inputs.result, loop.tensors)

    def _answer_with_weights(self) -> None:
        module, net = self._build(self._load_unseen)
        prm = candidate_module.supported_values(module, self.job)
        set_up = export_worker.load_weights(net, lambda: net.train_setup(prm), self._file_tensors())
        package = self.job["work"] == "package"
        if package:
            net.eval()
            shape = {"in_shape": list(self.in_shape), "needs_setup": set_up}
            batch = torch.randn(LATENCY_BATCH, *self.in_shape[1:], device=self.device)
            facts = self._measure(net) | {"batch_ms": network_cost.latency_ms(net, batch)}
            self._phase("cost", **shape, **facts, layers=network_cost.layers(net, batch[:1]))
        self._phase("answer", epoch=1, batches=0)
        self._send_answers(net)
        if package and self.job["onnx"]:
            onnx_worker.send_onnx(self.inputs.result, net, self.pipeline.answer(self.unseen[:2]))

    def _answer_with_onnx(self) -> None:
        self._phase("build")
        self._load_unseen()
        answer = onnx_worker.onnx_answers(self._file(), self.job["engine"])
        self._phase("answer", epoch=1, batches=0)
        wire.write_frame(self.inputs.result, wire.LOGITS, self._answers(answer))

    def _file_tensors(self) -> dict[str, Tensor]:
        return export_worker.read_tensors(self._file())

    def _file(self) -> bytes:
        """Return the file to try, weights or ONNX."""
        return _content(self.inputs.train_images)

    def _phase(self, name: str, **facts: object) -> None:
        wire.write_facts(self.inputs.result, phase=name, **facts)

    def _precision(self) -> Any:
        half = self.job["precision"] == "bfloat16"
        # One context spans an epoch: cached weights would stay those of the first batch.
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half, cache_enabled=False)

    def _arranged(self, images: Tensor) -> Tensor:
        """Return the images [b, c, h, w] in the protocol's memory format."""
        return images.contiguous(memory_format=self.memory_format)

    def _measure(self, net: Any) -> dict[str, float | None]:
        """Measure the size and speed of an untrained network in evaluation mode."""
        image = self._arranged(torch.randn(1, *self.in_shape[1:], device=self.device))
        facts: dict[str, float | None] = {"parameters": network_cost.parameters(net)}
        with self._precision():
            facts["flops"] = network_cost.flops(net, image)
            if self.job["latency"]:
                facts["latency_ms"] = network_cost.latency_ms(net, image)
        return facts

    def _load_data(self) -> None:
        job, inputs = self.job, self.inputs
        shape, count = tuple(job["shape"]), job["train_count"]
        images = mapped(inputs.train_images, (count, *shape), np.uint8)
        labels = mapped(inputs.train_labels, (count,), np.int64)
        self.images = torch.from_numpy(images).to(self.device)
        self.labels = torch.from_numpy(labels).to(self.device)
        self._load_unseen(self.images)

    def _load_unseen(self, sample: Tensor | None = None) -> None:
        """Load the images to answer; build the transform and try it on two images of `sample`."""
        job = self.job
        shape = (job["validation_count"], *job["shape"])
        unseen = mapped(self.inputs.validation_images, shape, np.uint8)
        self.unseen = torch.from_numpy(unseen).to(self.device)
        self.pipeline = transforms.build(job["transform"], tuple(job["mean"]), tuple(job["std"]))
        sample = self.unseen if sample is None else sample
        self.in_shape = self._transformed_shape(sample[:2])

    def _transformed_shape(self, sample: Tensor) -> tuple[int, int, int, int]:
        for function in (self.pipeline.train, self.pipeline.answer):
            shape = tuple(function(sample).shape)
            if len(shape) != 4 or shape[0] != len(sample):
                raise RejectedError(f"the transform makes {list(shape)} of {list(sample.shape)}")
        return (1, shape[1], shape[2], shape[3])

    def _build(self, load: Callable[[], None]) -> tuple[ModuleType, Any]:
        """Execute the code, load the data, build the network and try it on random images."""
        self._phase("build")
        module = candidate_module.load_module(self.job["code"])
        load()
        net = candidate_module.build_network(module, self.in_shape, self.job, self.device)
        net = net.to(device=self.device).to(memory_format=self.memory_format)
        self._phase("forward")
        net.eval()
        images = torch.randn(2, *self.in_shape[1:], device=self.device)
        with torch.no_grad(), self._precision():
            logits = net(self._arranged(images))
        self._check(logits, 2)
        if not bool(torch.isfinite(logits).all()):
            raise RejectedError("the output for random images is not finite")
        return module, net

    def _check(self, logits: object, count: int) -> None:
        """Check that the network's output is a tensor [count, classes]. Raises: RejectedError."""
        if not isinstance(logits, Tensor):
            raise RejectedError(f"forward returns a {type(logits).__name__}, not a tensor")
        expected = [count, self.job["classes"]]
        if list(logits.shape) != expected:
            raise RejectedError(f"the output has shape {list(logits.shape)}, expected {expected}")

    def _training_data(self, net: Any, epoch: int) -> TrainingData:
        seed = (self.job["seed"] * 1_000_003 + epoch) % 2**63
        check = self._divergence_check(net)

        def after(batches: int) -> None:
            if is_reported(batches):
                if self.job["loop"] == "plain" and self.device.type == "cuda":
                    torch.cuda.synchronize()  # the parent may measure how long these batches take
                wire.write_facts(self.inputs.result, batches=batches, of=len(data))
            check(batches)

        order = self.job["batch"], self._transform, seed
        data = TrainingData(self.images, self.labels, *order, after)
        return data

    def _transform(self, images: Tensor) -> Tensor:
        """Return a batch of training images [b, c, h, w], transformed and arranged."""
        return self._arranged(self.pipeline.train(images))

    def _divergence_check(self, net: Any) -> Callable[[int], None]:
        """Return a check for weights that became NaN, called with the number of batches."""
        sound = self.job["stop_on_divergence"] and _is_finite(net)

        def check(batches: int) -> None:
            if sound and is_checked(batches) and not _is_finite(net):
                raise RejectedError(f"training diverged after {batches} batches: weights are NaN")

        return check

    def _send_answers(self, net: Any) -> None:
        net.eval()
        with self._precision():
            answers = self._answers(net)
        wire.write_frame(self.inputs.result, wire.LOGITS, answers)

    def _answers(self, answer: Callable[[Tensor], Tensor]) -> bytes:
        """Return the logits of all validation images: float32 [n, classes], little-endian."""
        parts = []
        with torch.no_grad():
            for images in answering_batches(self.unseen, self.job["answer_batch"]):
                logits = answer(self._arranged(self.pipeline.answer(images)))
                self._check(logits, len(images))
                parts.append(logits.float().cpu())
        return torch.cat(parts).numpy().astype("<f4").tobytes()


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def _is_finite(net: Any) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in net.parameters())
