"""Zero-cost proxies: their definitions on small networks, and trainings beside them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from sandbox_samples import HONEST, altered, candidate, make_task
from torch import Tensor, nn

from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.records import Evaluation, Exported, Proxy, Refusal, Stage
from nngpt.sandbox import proxies
from nngpt.sandbox.executors.local import LocalExecutor, create

Start = Callable[..., LocalExecutor]

REFERS_TO_ITSELF = altered(
    "        size = 8 *",
    "        norm = self.features[1]\n"
    "        self.features[2] = Through(lambda x: torch.relu(norm(x)))\n"
    "        size = 8 *",
).replace(
    "class Net(",
    "class Through(nn.Module):\n"
    "    def __init__(self, function):\n"
    "        super().__init__()\n"
    "        self.function = function\n\n"
    "    def forward(self, x):\n"
    "        return self.function(x)\n\n\n"
    "class Net(",
)
DRAWS = altered(
    "self.classifier = nn.Linear(size, out_shape[0])",
    "self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(size, out_shape[0]))",
)


def float_images(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return images, torch.arange(count) % 3


def measure(net: nn.Module, count: int = 16) -> dict[str, float | None]:
    return proxies.measure(net, *float_images(count), lambda images: images.float() / 255)


def test_proxies_follow_their_definitions() -> None:
    """On networks small enough to compute them by other means."""
    torch.manual_seed(3)
    layer, last = nn.Linear(16, 5), nn.Linear(5, 3)
    net = nn.Sequential(nn.Flatten(), layer, nn.BatchNorm1d(5), last)
    found = measure(net)
    into, out = layer.weight.detach().abs().sum(1), last.weight.detach().abs().sum(0)
    hidden = into + layer.bias.detach().abs()
    scale = 1 / math.sqrt(1 + 1e-5)  # of batch normalisation that has seen no image
    flow = scale * float(((into + hidden) * out).sum())
    assert found["synflow"] == pytest.approx(flow, rel=1e-5)
    images, labels = float_images(16)
    loss = nn.functional.cross_entropy(net.train()(images.float() / 255), labels)
    norms = [float(g.norm()) for g in torch.autograd.grad(loss, [layer.weight, last.weight])]
    assert found["grad_norm"] == pytest.approx(sum(norms), rel=1e-4)
    # Without normalisation all images have one gradient: a correlation of 1 in every place.
    linear = measure(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    score = math.log(16 + 1e-5) + 1 / (16 + 1e-5) + 15 * (math.log(1e-5) + 1e5)
    assert linear["jacob_cov"] == pytest.approx(-score, rel=1e-3)


def test_what_cannot_be_computed_is_none() -> None:
    class Constant(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.zeros(len(images), 3)

    assert measure(Constant()) == dict.fromkeys(Proxy)
    only_float32 = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    only_float32[1].register_forward_pre_hook(lambda _, given: (given[0].float(),))
    found = measure(only_float32)
    assert found["synflow"] is None and found["grad_norm"] is not None


@pytest.mark.parametrize("code", [HONEST, REFERS_TO_ITSELF, DRAWS], ids=["plain", "closure", "rng"])
def test_a_training_is_the_same_with_and_without(start: Start, code: str) -> None:
    one = candidate(code, transform="norm-crop-flip")
    without, beside = (start(proxies=proxies).export(one, 5) for proxies in (False, True))
    assert isinstance(without, Exported) and isinstance(beside, Exported), (without, beside)
    assert without.weights == beside.weights
    assert without.evaluation.claimed_proxies is None
    found = beside.evaluation.claimed_proxies
    assert found is not None and found.keys() == set(Proxy)
    assert found["jacob_cov"] is not None and found["grad_norm"] is not None


def test_weights_buffers_and_random_states_are_restored() -> None:
    torch.manual_seed(3)
    norm = nn.BatchNorm2d(1)

    class Refers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.layer, self.calls = norm, nn.Linear(16, 3), 0
            self.normalise = lambda images: norm(images)  # of the original, in a copy, too

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return self.layer(self.normalise(images).flatten(1) + 0.1 * torch.rand(16))

    net = Refers()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = torch.get_rng_state()
    assert measure(net)["jacob_cov"] is not None
    assert torch.equal(state, torch.get_rng_state()) and net.calls == 0
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_network_below_the_least_proxy_is_not_trained(splits: Splits) -> None:
    task = replace(make_task(), least_proxy={Proxy.GRAD_NORM: 1e6})
    evaluation = EvaluationConfig(device="cpu", limit_s=30, proxies=True)
    with create(splits, evaluation, task) as executor:
        refusal = executor.evaluate(candidate(), 1)
        assert isinstance(refusal, Refusal)
        assert refusal.stage is Stage.FORWARD
        assert refusal.reason.startswith("grad_norm is ")
        assert refusal.reason.endswith(", the least is 1e+06")
        # A network that cannot be copied has no proxies, which refuses nothing.
        refuses = "    def __deepcopy__(self, memo):\n        raise TypeError\n\n"
        uncopied = altered("    def forward(", f"{refuses}    def forward(")
        trained = executor.evaluate(candidate(uncopied), 1)
        assert isinstance(trained, Evaluation), trained
        assert trained.claimed_proxies == dict.fromkeys(Proxy)
