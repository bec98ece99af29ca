"""How a worker hands over what it trained, and tries out files of it. Runs in the worker only.

All of it is a claim: `nngpt.sandbox.tensors` and `nngpt.sandbox.export_judges` check what arrives.
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

from nngpt.sandbox import tensors, wire

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
    announced = [_announced(name, tensor) for name, tensor in state.items()]
    _refuse_inexportable(announced)
    _say(fd, tensors=len(state))
    for facts, tensor in zip(announced, state.values(), strict=True):
        plain = tensor.detach().cpu().contiguous()
        _say(fd, **facts)
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        wire.write_frame(fd, wire.TENSOR, data)


def _announced(name: object, tensor: Tensor) -> dict[str, Any]:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"tensor": str(name), "dtype": dtype, "shape": list(tensor.shape)}


def _refuse_inexportable(announced: list[dict[str, Any]]) -> None:
    """An honest network may name or size its tensors so that the parent would call it hostile."""
    try:
        rules = tensors.TensorRules(len(announced))
        for facts in announced:
            rules.admit(facts)
    except wire.WireError as problem:
        raise RejectedError(f"the weights cannot be exported: {problem}") from None


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
        if len(data) > tensors.MOST_ONNX_BYTES:
            _say(fd, onnx_problem=f"its file would have {len(data) >> 20} MiB")
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


def onnx_answers(data: bytes, engine: str) -> Callable[[Tensor], Tensor]:
    """A function from images [b, c, h, w] to logits [b, classes], of an ONNX file.

    `engine` is "onnxruntime", or "onnx" for its reference evaluator.

    Raises:
        Exception: whatever the ONNX checker says of the file.
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


def _say(fd: int, **facts: Any) -> None:
    wire.write_frame(fd, wire.FACTS, json.dumps(facts).encode())
