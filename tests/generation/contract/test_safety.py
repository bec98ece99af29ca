"""Code that the safety check refuses, and ordinary idioms that pass."""

from __future__ import annotations

import ast

import pytest

from nngpt.generation.contract.safety import check_safety
from nngpt.records import Stage

REFUSED = [
    ("import subprocess", "the package 'subprocess'"),
    ("from . import other", "a file beside it"),
    ("import os\ndef f(): os.system('ls')", "os.system"),
    ("from os import system", "os.system"),
    ("import os\ndef f(): return os", "passes the module os on"),
    ("import gc\ndef f(): return gc.get_objects()", "gc.get_objects"),
    ("import torch\ndef f(): return torch.load('x')", "torch.load"),
    ("import torch as t\ndef f(): return t.hub.load('x', 'y')", "torch.hub"),
    ("from torch import save", "torch.save"),
    ("from torch.utils import cpp_extension", "torch.utils.cpp_extension"),
    ("import torch.distributed as dist", "torch.distributed"),
    ("import torch\ndef f(): torch.multiprocessing.spawn(f)", "torch.multiprocessing"),
    ("import torch\ndef f(): torch.jit.load('x')", "torch.jit.load"),
    ("import torch\ndef f(): torch.utils.data.os.system('x')", "another module"),
    ("import numpy as np\ndef f(): np.load('x')", "numpy.load"),
    ("from torchvision import datasets", "torchvision.datasets"),
    ("from torchvision.models import resnet18, ResNet18_Weights", "pretrained"),
    ("from torchvision import models\ndef f(): models.resnet18(pretrained=True)", "pretrained"),
    ("def f(): eval('1')", "eval()"),
    ("def f(): open('x')", "open()"),
    ("def f(): __import__('os')", "__import__()"),
    ("def f(x): return x.__class__.__subclasses__()", "__subclasses__"),
    ("def f(x): return getattr(x, '__globals__')", "__globals__"),
    ("print('hello')", "more than define"),
    ("for i in range(3): x = i", "more than define"),
    ("import torch\ntorch.backends.cudnn.benchmark = True", "more than define"),
    ("if True:\n    print(1)", "more than define"),
]

ALLOWED = [
    "import os, gc, math\ndef f(): gc.collect(); return os.environ.get('X')",
    "import torch\ndef f(x: torch.utils.data.DataLoader): return x",
    "from torchvision.models._api import WeightsEnum\ndef f(weights=None): return WeightsEnum",
    "from torchvision import models\ndef f(): return models.resnet18(weights=None)",
    "def forward(self, input): return input.open(1)",
    "class A:\n    def f(self): return self.__class__.__name__, self.eval(), self.compile()",
    "'''Doc'''\nx = {}\nx['a'] = 1\nclass A: pass\nA.__annotations__ = {'b': int}",
    "try:\n    import einops\nexcept ImportError:\n    einops = None",
    "if __name__ == '__main__':\n    print(1)",
    "def f(x, name): return getattr(x, 'layer' + name), print(x), type(x), dir(x)",
]


@pytest.mark.parametrize(("code", "words"), REFUSED)
def test_code_that_reaches_beyond_networks_is_refused(code: str, words: str) -> None:
    refusal = check_safety(ast.parse(code))
    assert refusal is not None
    assert refusal.stage is Stage.SAFETY
    assert words in refusal.reason
    assert "line " in refusal.detail


@pytest.mark.parametrize("code", ALLOWED)
def test_ordinary_idioms_pass(code: str) -> None:
    assert check_safety(ast.parse(code)) is None


def test_all_faults_are_named_the_first_as_reason() -> None:
    refusal = check_safety(ast.parse("import sys\nimport socket"))
    assert refusal is not None
    assert "'sys'" in refusal.reason
    assert "line 2: imports the package 'socket'" in refusal.detail
