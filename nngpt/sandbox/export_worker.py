"""Send a trained network's weights and ONNX file, and load such files. Runs in the worker only.

All of its output is a claim; `nngpt.sandbox.tensors` and `nngpt.sandbox.exporter` check it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nngpt.sandbox import tensors, wire
from nngpt.sandbox.candidate_module import RejectedError

INPUT, OUTPUT = "images", "logits"
_OPSET = 18


def send_weights(fd: int, net: Any, in_shape: tuple[int, ...]) -> None:
    """Send the worker's weights in `state_dict`. Raises: RejectedError if not exportable."""
    wire.write_facts(fd, phase="weights", in_shape=list(in_shape))
    state = net.state_dict()
    if not isinstance(state, Mapping) or not state:
        raise RejectedError("state_dict gives no tensors")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise RejectedError(f"state_dict holds a {type(tensor).__name__}, not only tensors")
        if nn.parameter.is_lazy(tensor):
            raise RejectedError(f"the tensor {name!r} was never used, so it has no shape")
    headers = [
        {"tensor": str(name), "dtype": str(t.dtype).removeprefix("torch."), "shape": [*t.shape]}
        for name, t in state.items()
    ]
    _check_rules(headers)
    wire.write_facts(fd, tensors=len(state))
    for header, tensor in zip(headers, state.values(), strict=True):
        plain = tensor.detach().cpu().contiguous()
        wire.write_facts(fd, **header)
        data = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        wire.write_frame(fd, wire.TENSOR, data)


def _check_rules(headers: list[dict[str, Any]]) -> None:
    """Reject tensors that the parent would take for an attack, though an honest network has them.

    Raises: RejectedError if a name, type or size breaks a rule.
    """
    try:
        rules = tensors.TensorRules(len(headers))
        for header in headers:
            rules.admit(header)
    except wire.WireError as problem:
        raise RejectedError(f"the weights cannot be exported: {problem}") from None


def send_onnx(fd: int, net: Any, images: Tensor) -> None:
    """Send the worker's network as ONNX for any batch size, or why it cannot be exported.

    Args:
        images: two transformed images, [2, c, h, w].
    """
    wire.write_facts(fd, phase="onnx")
    try:
        data = _traced(net, images)
    except Exception as error:  # noqa: BLE001 (generated code under a tracer; it has run without)
        first = str(error).strip().partition("\n")[0]
        wire.write_facts(fd, onnx_problem=f"{type(error).__name__}: {first}"[:300])
    else:
        if len(data) > tensors.MOST_ONNX_BYTES:
            wire.write_facts(fd, onnx_problem=f"its file would have {len(data) >> 20} MiB")
        else:
            wire.write_frame(fd, wire.ONNX, data)


def _traced(net: Any, images: Tensor) -> bytes:
    """Return the network as ONNX, made by torch's older exporter, which traces one run.

    The newer exporter, torch.export, takes half a minute and does not work in the sandbox.
    """
    file: Any = io.BytesIO()  # torch accepts it, but its annotations do not
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
    """Load exported weights into a fresh network; return True if `train_setup` was needed first.

    Raises: RejectedError if the network has other tensors.
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
    """Return the function with which the export worker tries an ONNX file: images → logits.

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
