"""Make an ONNX file of a trained network, and answer with one. Runs in the worker only.

All of its output is a claim; `nngpt.sandbox.packager` checks it.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nngpt.sandbox import tensors, wire

INPUT, OUTPUT = "images", "logits"
_OPSET = 18
_OPERATION = re.compile(r"\baten::(\w+)")


def send_onnx(fd: int, net: Any, images: Tensor) -> None:
    """Send the worker's network as ONNX for any batch size, or why it cannot be exported.

    Args:
        images: two transformed images, [2, c, h, w].
    """
    wire.write_facts(fd, phase="onnx")
    try:
        data = _traced(net, images)
    except Exception as error:  # noqa: BLE001 (generated code under a tracer; it has run without)
        wire.write_facts(fd, onnx_problem=_problem(error))
    else:
        if len(data) > tensors.MOST_ONNX_BYTES:
            wire.write_facts(fd, onnx_problem=f"its file would have {len(data) >> 20} MiB")
        else:
            wire.write_frame(fd, wire.ONNX, data)


def _problem(error: Exception) -> str:
    """Return in one sentence why a network cannot be exported.

    The exporter's own messages name graphs, values and an address for requests.
    """
    if operation := _OPERATION.search(str(error)):
        return f"torch cannot write the operation {operation[1]} of this network as ONNX"
    first = str(error).strip().partition("\n")[0].partition(". ")[0].strip()
    return f"torch cannot write this network as ONNX ({type(error).__name__}: {first[:150]})"


def _traced(net: Any, images: Tensor) -> bytes:
    """Return the network as ONNX, made by torch's older exporter, which traces one run.

    The newer exporter, torch.export, takes half a minute and does not work in the sandbox.
    """
    file: Any = io.BytesIO()  # torch accepts it, but its annotations do not
    with warnings.catch_warnings(), torch.no_grad(), _plain_pools():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            (images,),
            file,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "b"}, OUTPUT: {0: "b"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    return bytes(file.getvalue())


@contextmanager
def _plain_pools() -> Iterator[None]:
    """Replace adaptive pools by other operations: ONNX has them only where the output divides.

    Window i of n outputs spans the inputs from floor(i·size/n) to ceil((i+1)·size/n), and windows
    of several dimensions are products of such spans. So a mean is a product with a constant matrix
    for each dimension, and a maximum is taken in one dimension after the other.
    """
    usual = [(place, name, getattr(place, name)) for place, name, *_ in _POOLS]
    try:
        for place, name, dimensions, pool in _POOLS:
            setattr(place, name, partial(_pooled, getattr(place, name), pool, dimensions))
        yield
    finally:
        for place, name, function in usual:
            setattr(place, name, function)


def _pooled(
    usual: Callable[..., Any], pool: _Pool, dimensions: int, input: Tensor, output_size: Any
) -> Any:
    """Pool as torch's function `usual` does."""
    wanted = output_size if isinstance(output_size, Sequence) else [output_size] * dimensions
    counts = [int(count) for count in wanted]
    if set(counts) == {1}:
        return usual(input, output_size)
    for axis, count in enumerate(counts, -dimensions):
        input = pool(input.transpose(axis, -1), count).transpose(axis, -1)
    # The places of the maxima come second; a network that uses them differs from its file.
    return input if pool is _mean_pool else (input, input)


def _spans(size: int, count: int) -> list[tuple[int, int]]:
    """Return start and end of each window of an adaptive pool in one dimension."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _mean_pool(values: Tensor, count: int) -> Tensor:
    size = int(values.shape[-1])
    spans = _spans(size, count)
    rows = [[(a <= at < b) / (b - a) for a, b in spans] for at in range(size)]
    return values @ torch.tensor(rows, dtype=values.dtype, device=values.device)


def _max_pool(values: Tensor, count: int) -> Tensor:
    spans = _spans(int(values.shape[-1]), count)
    return torch.stack([values[..., start:end].amax(-1) for start, end in spans], -1)


_Pool = Callable[[Tensor, int], Tensor]

_POOLS: Sequence[tuple[Any, str, int, _Pool]] = (
    (torch, "adaptive_avg_pool1d", 1, _mean_pool),
    (functional, "adaptive_avg_pool1d", 1, _mean_pool),
    (torch._C._nn, "adaptive_avg_pool2d", 2, _mean_pool),
    (torch._C._nn, "adaptive_avg_pool3d", 3, _mean_pool),
    (torch, "adaptive_max_pool1d", 1, _max_pool),
    (torch._C._nn, "adaptive_max_pool2d", 2, _max_pool),
    (torch._C._nn, "adaptive_max_pool3d", 3, _max_pool),
)
"""Where torch's layers and functions find the adaptive pools, with the dimensions of each."""


def onnx_answers(data: bytes, engine: str) -> Callable[[Tensor], Tensor]:
    """Return the function with which a worker tries an ONNX file: images → logits.

    `engine` is "onnxruntime", or "onnx" for the reference evaluator of that package.
    Raises: Exception, any error of the ONNX checker or engine.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    if engine == "onnx":
        from onnx.reference import ReferenceEvaluator

        run = ReferenceEvaluator(model).run
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        run = session.run

    def answer(images: Tensor) -> Tensor:
        (logits,) = run(None, {INPUT: np.ascontiguousarray(images.cpu().numpy())})
        return torch.from_numpy(np.array(logits, np.float32))

    return answer
