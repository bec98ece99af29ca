"""How a worker hands over what it trained, and tries out files of it. Runs in the worker only.

All of it is a claim: `nngpt.execution.tensors` and `nngpt.execution.collecting` check what arrives.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nngpt.execution import wire

INPUT, OUTPUT = "images", "logits"
_OPSET = 18


class RejectedError(Exception):
    """The candidate broke the contract in a way that raises nothing by itself."""


def send_weights(fd: int, net: Any, in_shape: tuple[int, ...]) -> None:
    """The tensors of `state_dict`, one after another. Raises: RejectedError."""
    _say(fd, phase="weights", in_shape=list(in_shape))
    state = net.state_dict()
    if not isinstance(state, Mapping) or not state:
        raise RejectedError("state_dict gives no tensors")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise RejectedError(f"state_dict holds a {type(tensor).__name__}, not only tensors")
        if nn.parameter.is_lazy(tensor):
            raise RejectedError(f"the tensor {name!r} was never used, so it has no shape")
    _say(fd, tensors=len(state))
    for name, tensor in state.items():
        plain = tensor.detach().cpu().contiguous()
        dtype = str(plain.dtype).removeprefix("torch.")
        _say(fd, tensor=str(name), dtype=dtype, shape=list(plain.shape))
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        wire.write_frame(fd, wire.TENSOR, data)


def send_onnx(fd: int, net: Any, images: Tensor) -> None:
    """The network as an ONNX file, or why there is none.

    Args:
        images: two transformed ones, [2, c, h, w]; the file takes any number.
    """
    _say(fd, phase="onnx")
    try:
        data = _traced(net, images)
    except Exception as error:  # noqa: BLE001 (generated code under a tracer; it has run without)
        first = str(error).strip().partition("\n")[0]
        _say(fd, onnx_problem=f"{type(error).__name__}: {first}"[:300])
    else:
        wire.write_frame(fd, wire.ONNX, data)


def _traced(net: Any, images: Tensor) -> bytes:
    """By TorchScript, which follows one run and keeps what that did.

    The exporter that starts from torch.export takes half a minute and does not work in the sandbox.
    """
    file: Any = io.BytesIO()  # torch takes it, but for its own types
    with warnings.catch_warnings(), torch.no_grad():
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


def load_weights(net: Any, set_up: Callable[[], object], data: bytes) -> bool:
    """Load a safetensors file into a fresh network; True if that took `train_setup` first.

    Raises:
        RejectedError: its weights are other ones.
    """
    from safetensors.torch import load

    state = load(data)
    try:
        net.load_state_dict(state)
    except RuntimeError:  # train_setup may add tensors: a loss with weights, say
        set_up()
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            first = str(error).partition("\n")[2].strip()[:200]
            raise RejectedError(f"the weights do not fit a fresh network: {first}") from None
        return True
    return False


def onnx_answers(data: bytes) -> tuple[str, Callable[[Tensor], Tensor]]:
    """What runs an ONNX file, and a function from images [b, c, h, w] to logits [b, classes].

    Raises:
        Exception: whatever the ONNX checker says of the file.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        name, run = f"onnx {onnx.__version__}", ReferenceEvaluator(model).run
    else:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        name, run = f"onnxruntime {onnxruntime.__version__}", session.run

    def answer(images: Tensor) -> Tensor:
        (logits,) = run(None, {INPUT: np.ascontiguousarray(images.cpu().numpy())})
        return torch.from_numpy(np.array(logits, np.float32))

    return name, answer


def _say(fd: int, **facts: Any) -> None:
    wire.write_frame(fd, wire.FACTS, json.dumps(facts).encode())
