"""ONNX files of networks with adaptive pools, which ONNX has only where the output divides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nngpt.sandbox import onnx_worker

POOLS: dict[str, tuple[Callable[[Tensor], Tensor], tuple[int, int]]] = {
    "mean": (nn.AdaptiveAvgPool2d(4), (7, 7)),
    "mean, two sizes": (nn.AdaptiveAvgPool2d((3, 5)), (7, 9)),
    "mean, one size kept": (nn.AdaptiveAvgPool2d((None, 3)), (7, 7)),
    "mean, enlarges": (nn.AdaptiveAvgPool2d(4), (2, 1)),
    "mean, divides": (nn.AdaptiveAvgPool2d(4), (8, 8)),
    "mean of all": (nn.AdaptiveAvgPool2d(1), (7, 7)),
    "maximum": (nn.AdaptiveMaxPool2d(4), (7, 2)),
    "maximum of all": (nn.AdaptiveMaxPool2d(1), (7, 7)),
    "functions": (lambda x: functional.adaptive_avg_pool2d(torch.relu(x), (2, 3)), (5, 7)),
    "one dimension": (lambda x: functional.adaptive_avg_pool1d(x.flatten(2), 5), (3, 4)),
    "maximum, one": (lambda x: functional.adaptive_max_pool1d(x.flatten(2), 5), (3, 4)),
    "after strides": (
        nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(4), nn.AdaptiveMaxPool2d(3)),
        (11, 13),
    ),
}


class Pooling(nn.Module):
    """One pool, whose values are the logits."""

    def __init__(self, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(x).flatten(1)


@pytest.mark.parametrize("name", POOLS)
def test_adaptive_pools_answer_alike_for_any_number_of_images(name: str) -> None:
    pytest.importorskip("onnxruntime")
    pool, size = POOLS[name]
    net = Pooling(pool).eval()
    file = onnx_worker._traced(net, torch.randn(2, 3, *size))
    images = torch.randn(5, 3, *size)
    answers = onnx_worker.onnx_answers(file, "onnxruntime")(images)
    with torch.no_grad():
        torch.testing.assert_close(answers, net(images))


def test_the_pools_are_torch_s_own_again() -> None:
    net = Pooling(lambda x: torch.linalg.svd(functional.adaptive_avg_pool2d(x, 3).flatten(2))[1])
    with pytest.raises(Exception, match="svd") as caught:
        onnx_worker._traced(net, torch.randn(2, 3, 4, 4))
    said = "torch cannot write the operation linalg_svd of this network as ONNX"
    assert onnx_worker._problem(caught.value) == said
    assert isinstance(functional.adaptive_avg_pool1d, type(torch.relu))
    assert isinstance(torch._C._nn.adaptive_max_pool2d, type(torch.relu))
