"""Train a candidate's network in this process, for tests of code that we wrote ourselves."""

from __future__ import annotations

import types

import torch

from nngpt.records import Candidate


def train_one_batch(candidate: Candidate, shape: tuple[int, int, int, int]) -> None:
    """Build the network, train it on one batch, and check that it changed and answers."""
    module = types.ModuleType("network")
    exec(compile(candidate.code, "network.py", "exec", dont_inherit=True), module.__dict__)
    prm = dict(candidate.hyperparameters)
    assert module.supported_hyperparameters() == set(prm)
    net = module.Net(shape, (10,), prm, torch.device("cpu"))
    net.train_setup(prm)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    net.learn([(torch.randn(4, *shape[1:]), torch.arange(4))])
    net.eval()
    assert net(torch.randn(2, *shape[1:])).shape == (2, 10)
    pairs = zip(before, net.parameters(), strict=True)
    assert any(not torch.equal(old, new) for old, new in pairs)
