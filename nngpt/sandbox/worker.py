"""The only module that runs generated code: one candidate, then the process ends.

It has training images and labels and validation images in a secret order. What it says over the
pipe (phases, a parameter count, logits, how it failed) is a claim; `nngpt.sandbox.judge`
judges it. A candidate may patch everything in here and gains nothing by it.
"""

from __future__ import annotations

import json
import linecache
import os
import random
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from nngpt.sandbox import export_worker, network_cost, transforms, wire
from nngpt.sandbox.batches import TrainingData, answering_batches, is_checked, is_told
from nngpt.sandbox.export_worker import RejectedError
from nngpt.sandbox.sealed_memory import mapped
from nngpt.sandbox.training_loop import PlainLoop

_MODULE = "candidate"
_DETAIL = 2000


@dataclass(frozen=True)
class Inputs:
    """Descriptors that a worker holds beside its standard streams.

    A worker that tries out a file of a trained network has it as `train_images`.
    """

    result: int
    job: int
    train_images: int
    train_labels: int
    validation_images: int


def warm_up(threads: int, device: str) -> None:
    """Do once, while there is nothing to do yet, what the first training would pay for."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    net = net.append(nn.Linear(4 * 6 * 6, 2)).to(device)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        images = torch.ones(4, 1, 8, 8, device=device)
        labels = torch.zeros(4, dtype=torch.int64, device=device)
        loss = nn.functional.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def main(inputs: Inputs) -> NoReturn:
    """Run the job and end the process."""
    job = json.loads(os.pread(inputs.job, os.fstat(inputs.job).st_size, 0))
    try:
        _Run(job, inputs).work()
    except RejectedError as problem:
        _report(inputs.result, rejected=str(problem)[:_DETAIL])
    except BaseException as error:  # noqa: BLE001 (the sandbox boundary)
        _report(inputs.result, **_description(error))
    os._exit(0)


class _Run:
    """One candidate from source to answers.

    Attributes:
        job: written by the executor: code, hyperparameters, protocol, data shapes.
    """

    def __init__(self, job: Mapping[str, Any], inputs: Inputs) -> None:
        self.job, self.inputs = job, inputs
        self.device = torch.device(job["device"])
        formats = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
        self.memory_format = formats[job["memory_format"]]

    def work(self) -> None:
        """What the job asks for: training, or answering with a file of what was trained."""
        self._seed(self.job["seed"])
        if self.job["work"] == "weights":
            self._answer_with_weights()
        elif self.job["work"] == "onnx":
            self._answer_with_onnx()
        else:
            self._train()

    def _train(self) -> None:
        self._phase("build")
        module = self._module()
        self._load_data()
        net = self._build(module)
        self._phase("forward")
        self._try_forward(net)
        self._phase("setup", **self._measure(net))
        net.train()
        learner = net
        if self.job["loop"] == "plain":
            learner = PlainLoop(net, self._prm(module))
        else:
            net.train_setup(self._prm(module))
        for epoch in range(1, self.job["epochs"] + 1):
            self._phase("learn", epoch=epoch)
            net.train()
            data = self._training_data(net, epoch)
            with self._precision():
                learner.learn(data)
            self._phase("answer", epoch=epoch, batches=data.drawn)
            with self._precision():
                answers = self._answers(net)
            wire.write_frame(self.inputs.result, wire.LOGITS, answers)
        if self.job["work"] == "export":
            self._hand_over(net)

    def _hand_over(self, net: Any) -> None:
        export_worker.send_weights(self.inputs.result, net, self.in_shape)
        if self.job["onnx"]:
            images = self.pipeline.answer(self.unseen[:2])
            export_worker.send_onnx(self.inputs.result, net, self._arranged(images))

    def _answer_with_weights(self) -> None:
        self._phase("build")
        module = self._module()
        self._load_unseen()
        net = self._build(module)
        self._phase("forward")
        self._try_forward(net)
        prm = self._prm(module)
        set_up = export_worker.load_weights(net, lambda: net.train_setup(prm), self._given())
        self._phase("answer", epoch=1, batches=0, needs_setup=set_up)
        with self._precision():
            answers = self._answers(net)
        wire.write_frame(self.inputs.result, wire.LOGITS, answers)

    def _answer_with_onnx(self) -> None:
        self._phase("build")
        self._load_unseen()
        answer = export_worker.onnx_answers(self._given(), self.job["engine"])
        self._phase("answer", epoch=1, batches=0)
        answers = self._answers(_Answering(answer))
        wire.write_frame(self.inputs.result, wire.LOGITS, answers)

    def _given(self) -> bytes:
        fd = self.inputs.train_images
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def _seed(self, seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def _phase(self, name: str, **facts: float | str | None) -> None:
        _report(self.inputs.result, phase=name, **facts)

    def _precision(self) -> Any:
        half = self.job["precision"] == "bfloat16"
        # Cached weights would stay those of the first batch: one context spans an epoch.
        kind, cached = self.device.type, False
        return torch.autocast(kind, torch.bfloat16, enabled=half, cache_enabled=cached)

    def _arranged(self, images: Tensor) -> Tensor:
        """The images [b, c, h, w] in the protocol's memory format."""
        return images.contiguous(memory_format=self.memory_format)

    def _measure(self, net: Any) -> dict[str, float | None]:
        """What is said of the network before it trains; it is in evaluation mode here."""
        image = self._arranged(torch.randn(1, *self.in_shape[1:], device=self.device))
        facts: dict[str, float | None] = {"parameters": network_cost.parameters(net)}
        with self._precision():
            facts["flops"] = network_cost.flops(net, image)
            if self.job["latency"]:
                facts["latency_ms"] = network_cost.latency_ms(net, image)
        return facts

    def _module(self) -> types.ModuleType:
        code, path = self.job["code"], f"{_MODULE}.py"
        # Tracebacks and torch.jit read the source; there may be no folder to write it to.
        linecache.cache[path] = (len(code), None, code.splitlines(keepends=True), path)
        module = types.ModuleType(_MODULE)
        module.__file__ = path
        sys.modules[_MODULE] = module
        exec(compile(code, path, "exec"), module.__dict__)
        return module

    def _load_data(self) -> None:
        job, inputs = self.job, self.inputs
        shape, count = tuple(job["shape"]), job["train_count"]
        images = mapped(inputs.train_images, (count, *shape), np.uint8)
        labels = mapped(inputs.train_labels, (count,), np.int64)
        self.images, self.labels = (
            torch.from_numpy(array).to(self.device) for array in (images, labels)
        )
        self._load_unseen(self.images)

    def _load_unseen(self, sample: Tensor | None = None) -> None:
        """The images to answer, and the transform, tried out on two of `sample`."""
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

    def _prm(self, module: types.ModuleType) -> dict[str, Any]:
        given = self.job["hyperparameters"]
        supported = set(module.supported_hyperparameters())
        lacking = sorted(str(name) for name in supported - set(given) - _PROTOCOL)
        if lacking:
            raise RejectedError(f"no value for the hyperparameter {lacking[0]!r}")
        prm = {name: value for name, value in given.items() if name in supported}
        protocol = {
            "batch": self.job["batch"],
            "epoch": self.job["epochs"],
            "transform": self.job["transform"],
        }
        return prm | protocol

    def _build(self, module: types.ModuleType) -> Any:
        if not isinstance(getattr(module, "Net", None), type):
            raise RejectedError("the code defines no class Net")
        out_shape = (self.job["classes"],)
        net = module.Net(self.in_shape, out_shape, self._prm(module), self.device)
        if not isinstance(net, nn.Module):
            raise RejectedError("Net is no torch.nn.Module")
        return net.to(device=self.device).to(memory_format=self.memory_format)

    def _try_forward(self, net: Any) -> None:
        net.eval()
        images = torch.randn(2, *self.in_shape[1:], device=self.device)
        with torch.no_grad(), self._precision():
            logits = net(self._arranged(images))
        self._check(logits, 2)
        if not bool(torch.isfinite(logits).all()):
            raise RejectedError("the output for random images is not finite")

    def _check(self, logits: object, count: int) -> None:
        if not isinstance(logits, Tensor):
            raise RejectedError(f"forward returns a {type(logits).__name__}, not a tensor")
        expected = [count, self.job["classes"]]
        if list(logits.shape) != expected:
            raise RejectedError(f"the output has shape {list(logits.shape)}, expected {expected}")

    def _training_data(self, net: Any, epoch: int) -> TrainingData:
        seed = (self.job["seed"] * 1_000_003 + epoch) % 2**63
        sound = self.job["stop_on_divergence"] and _is_finite(net)

        def after(batches: int) -> None:
            if is_told(batches):
                _report(self.inputs.result, batches=batches, of=len(data))
            if sound and is_checked(batches) and not _is_finite(net):
                raise RejectedError(f"training diverged after {batches} batches: weights are NaN")

        def transform(images: Tensor) -> Tensor:
            return self._arranged(self.pipeline.train(images))

        data = TrainingData(self.images, self.labels, self.job["batch"], transform, seed, after)
        return data

    def _answers(self, net: Any) -> bytes:
        """Logits of all validation images as bytes: float32 [n, classes], little-endian."""
        net.eval()
        parts = []
        with torch.no_grad():
            for images in answering_batches(self.unseen, self.job["answer_batch"]):
                logits = net(self._arranged(self.pipeline.answer(images)))
                self._check(logits, len(images))
                parts.append(logits.float().cpu())
        return torch.cat(parts).numpy().astype("<f4").tobytes()


class _Answering(nn.Module):
    """A function that answers, where a network is expected."""

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._answer = answer

    def forward(self, images: Tensor) -> Tensor:
        return self._answer(images)


_PROTOCOL = {"batch", "epoch", "transform"}


def _is_finite(net: Any) -> bool:
    return all(bool(torch.isfinite(p).all()) for p in net.parameters())


def _report(fd: int, **facts: Any) -> None:
    wire.write_frame(fd, wire.FACTS, json.dumps(facts).encode())


def _description(error: BaseException) -> dict[str, Any]:
    """Type, message, and the last lines of the candidate's own that led there."""
    frames = [
        f"line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name in {f"{_MODULE}.py", "transform.py"}
    ]
    return {
        "error": type(error).__name__[:100],
        "message": str(error)[:_DETAIL],
        "where": "\n".join(frames[-3:])[:_DETAIL],
        "memory": _is_memory(error),
    }


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return "can't allocate memory" in text or "std::bad_alloc" in text
