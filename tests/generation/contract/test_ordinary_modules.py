"""Ordinary `nn.Module` files of the usual shapes, put into LEMUR's contract and trained."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from network_training import train_one_batch

from nngpt.errors import UserError
from nngpt.generation.contract.candidate import Defaults
from nngpt.generation.contract.network_file import NetworkFile, read_class, read_network
from nngpt.generation.contract.reader import Reader
from nngpt.generation.prompts import template as prompts
from nngpt.records import Candidate, Refusal, Stage, Task

TASK = Task("squares", (1, 3, 16, 16), (10,), threshold=0.4)
HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n\n\n"
CONVOLUTION = """\
class {name}(nn.Module):
    def __init__(self, {parameters}):
        super({name}, self).__init__()
        self.stem = nn.Conv2d({channels}, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, {classes})

    def forward(self, x):
        return self.head(F.relu(self.stem(x)).mean((2, 3)))
"""
PERCEPTRON = """\
class Perceptron(nn.Module):
    def __init__(self, {parameters}):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear({inputs}, 8), nn.ReLU(), nn.Linear(8, {classes}))

    def forward(self, x):
        return self.layers(x.reshape(len(x), -1))
"""


def convolution(
    parameters: str, channels: str = "3", classes: str = "10", name: str = "Small"
) -> str:
    return CONVOLUTION.format(name=name, parameters=parameters, channels=channels, classes=classes)


def perceptron(parameters: str, inputs: str, classes: str = "10") -> str:
    return PERCEPTRON.format(parameters=parameters, inputs=inputs, classes=classes)


RESNET = """\
class Block(nn.Module):
    expansion = 1

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv(x))


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=1000):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(*[block(8) for _ in range(sum(layers))])
        self.fc = nn.Linear(8 * block.expansion, num_classes)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


def resnet_tiny(num_classes=1000):
    return ResNet(Block, [1, 1], num_classes)
"""
PASSING = """

def _resnet(*, layers, **kwargs):
    return ResNet(Block, layers, **kwargs)


def tiny(**kwargs):
    return _resnet(layers=[1], **kwargs)
"""
TRANSFORMER = """\
def pair(size):
    return size if isinstance(size, tuple) else (size, size)


class Attention(nn.Module):
    def __init__(self, dim, heads=2):
        super().__init__()
        self.attend = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x):
        return x + self.attend(x, x, x, need_weights=False)[0]


class ViT(nn.Module):
    def __init__(self, *, image_size, patch_size=4, num_classes, dim=8, channels=3, drop_rate=0.0):
        super().__init__()
        height, width = pair(image_size)
        self.patches = nn.Conv2d(channels, dim, patch_size, patch_size)
        count = (height // patch_size) * (width // patch_size)
        self.places = nn.Parameter(torch.zeros(1, count, dim))
        self.layers = nn.Sequential(Attention(dim), nn.Dropout(drop_rate))
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.layers(x).mean(1))
"""
CONFIGURED = """\
from dataclasses import dataclass

@dataclass
class Settings:
    width: int = 8
    classes: int = 10


class Configured(nn.Module):
    def __init__(self, config: Settings):
        super().__init__()
        self.layer = nn.Linear(3, config.classes)

    def forward(self, x):
        return self.layer(x.mean((2, 3)))
"""
SCRIPT = (
    convolution("", name="Net")
    + """

transform = load_transform()
model = Net()
print(model)
for epoch in range(2):
    torch.manual_seed(epoch)
    model.train()
"""
)


DEEP = """

class Deep(Base):
    def forward(self, x):
        return 2 * super().forward(x)
"""
PAIR = """

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([Net(), Net()])

    def forward(self, x):
        return sum(part(x) for part in self.parts)
"""
MAIN = """

if __name__ == "__main__":
    import sys
    print(Small(), sys.argv)
    # the end
"""
AUXILIARY = """
class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, x):
        logits = self.head(x.mean((2, 3)))
        return (logits, 0.5 * logits) if self.training else logits
"""
HALF = """
def supported_hyperparameters():
    return NAMES


class Net(nn.Module):
    def __init__(self, classes):
        pass

    def forward(self, x):
        return x
"""
COMPLETE = """
class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        pass

    def forward(self, x):
        return x

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass
"""


@dataclass(frozen=True)
class Case:
    """An ordinary file, and how its network is built."""

    code: str
    call: str
    name: str | None = None
    init: str | None = None


CASES = {
    "no arguments": Case(convolution(""), "Small()"),
    "called Net": Case(convolution("num_classes=10", name="Net"), "Net(num_classes=out_shape[0])"),
    "usual names": Case(
        convolution("in_channels, num_classes", "in_channels", "num_classes"),
        "Small(num_classes=out_shape[0], in_channels=in_shape[1])",
    ),
    "names of the first-time user": Case(
        convolution("num_classes, in_ch, width=8", "in_ch", "num_classes"),
        "Small(num_classes=out_shape[0], in_ch=in_shape[1])",
    ),
    "defaults of another data set": Case(
        convolution("in_chans: int = 1, n_classes: int = 1000", "in_chans", "n_classes"),
        "Small(n_classes=out_shape[0], in_chans=in_shape[1])",
    ),
    "channels that are the input's": Case(
        convolution("channels=1, classes=5", "channels", "classes"),
        "Small(classes=out_shape[0], channels=in_shape[1])",
    ),
    "channels that are a width": Case(
        convolution("channels=8, num_labels=2", classes="num_labels"),
        "Small(num_labels=out_shape[0])",
    ),
    "keywords only": Case(
        convolution("*, out_features, input_channels=1", "input_channels", "out_features"),
        "Small(out_features=out_shape[0], input_channels=in_shape[1])",
    ),
    "*args and **kwargs": Case(
        convolution("*args, num_classes=10, **kwargs", classes="num_classes"),
        "Small(num_classes=out_shape[0])",
    ),
    "**kwargs and given arguments": Case(
        convolution("**kwargs", classes="kwargs['classes']"),
        "Small(classes=out_shape[0])",
        init="classes={classes}",
    ),
    "a dropout with its own default": Case(
        convolution("num_classes=10, dropout=0.4"),
        "Small(num_classes=out_shape[0], dropout=prm['dropout'])",
    ),
    "a dropout without default": Case(
        convolution("num_classes, dropout_rate"),
        "Small(num_classes=out_shape[0], dropout_rate=prm['dropout'])",
    ),
    "a dropout out of LEMUR's range": Case(convolution("p_drop=0.9"), "Small()"),
    "image size": Case(TRANSFORMER, "ViT(num_classes=out_shape[0], channels=in_shape[1], "),
    "height and width": Case(
        perceptron("height, width, output_dim", "3 * height * width", "output_dim"),
        "Perceptron(output_dim=out_shape[0], height=in_shape[2], width=in_shape[3])",
    ),
    "flat features": Case(
        perceptron("in_features=784, hidden=8, num_classes=10", "in_features"),
        "Perceptron(num_classes=out_shape[0], in_features=in_shape[1] * in_shape[2]",
    ),
    "the size of a perceptron's input": Case(
        perceptron("input_size, num_classes", "input_size"),
        "Perceptron(num_classes=out_shape[0], input_size=in_shape[1] * in_shape[2]",
    ),
    "the size of an image": Case(
        perceptron("input_size, channels", "channels * input_size ** 2"),
        "Perceptron(channels=in_shape[1], input_size=in_shape[2] if ",
    ),
    "input shape": Case(
        perceptron("input_shape, n_classes", "input_shape[0] * 16 * 16"),
        "Perceptron(n_classes=out_shape[0], input_shape=tuple(in_shape[1:]))",
    ),
    "a subclass of Sequential": Case(
        "class Stack(nn.Sequential):\n"
        "    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))\n",
        "Stack(num_classes=out_shape[0])",
    ),
    "a constructor of the base class": Case(
        convolution("num_classes=2", classes="num_classes", name="Base") + DEEP,
        "Deep(num_classes=out_shape[0])",
    ),
    "a function that builds it": Case(
        RESNET, "resnet_tiny(num_classes=out_shape[0])", name="resnet_tiny"
    ),
    "a function that passes arguments on": Case(
        RESNET + PASSING, "tiny(num_classes=out_shape[0])", name="tiny"
    ),
    "a base class that takes arguments": Case(
        RESNET + "\n\nclass Tiny(ResNet):\n    def __init__(self, **kwargs):\n"
        "        super().__init__(Block, [1], **kwargs)\n",
        "Tiny(num_classes=out_shape[0])",
    ),
    "arguments of its own": Case(
        RESNET,
        "ResNet(block=Block, layers=[1], num_classes=out_shape[0])",
        init="block=Block, layers=[1]",
    ),
    "a configuration object": Case(
        CONFIGURED,
        "Configured(config=Settings(classes=out_shape[0]))",
        init="config=Settings(classes={classes})",
    ),
    "one of two classes": Case(
        convolution("", name="Loss") + "\n\n" + convolution("", name="Net"), "Net()", name="Net"
    ),
    "the other of two classes": Case(
        convolution("", name="Loss") + "\n\n" + convolution("", name="Net"), "Loss()", name="Loss"
    ),
    "a part called Net": Case(
        convolution("", name="Net")
        + "\n\nclass Pair(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.parts = nn.ModuleList([Net(), Net()])\n"
        "    def forward(self, x):\n        return sum(part(x) for part in self.parts)\n",
        "Pair()",
    ),
    "a script around it": Case(SCRIPT, "Net()"),
    "a main block": Case(convolution("") + MAIN, "Small()"),
    "packages that it does not need": Case(
        "import argparse\nimport matplotlib.pyplot as plt\nfrom torchvision import datasets\n\n\n"
        + convolution("")
        + "\n\ndef plot():\n    plt.show(datasets.MNIST)\n",
        "Small()",
    ),
    "settings that it needs": Case(
        "OUT = {}\nOUT['n'] = 10\n\n" + convolution("classes=None", classes="OUT['n']"),
        "Small(classes=out_shape[0])",
    ),
    "annotations and a future import": Case(
        '"""A file."""\nfrom __future__ import annotations\n'
        + convolution("num_classes: Number = 10", classes="num_classes"),
        "Small(num_classes=out_shape[0])",
    ),
    "several outputs in training": Case(AUXILIARY, "Small(num_classes=out_shape[0])"),
}


def with_head(code: str) -> str:
    """Return the file with its usual imports, after a docstring and imports from the future."""
    lines = code.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if not line.startswith(('"""', "from __future")))
    return "".join([*lines[:start], HEAD, *lines[start:]])


def reader() -> Reader:
    template = prompts.load("full")
    defaults = Defaults({"lr": 0.05, "momentum": 0.9}, 64, "norm", {"dropout": 0.2})
    return Reader(TASK, template, template.render(TASK, {}), defaults)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_ordinary_network_trains(case: Case) -> None:
    code = with_head(case.code)
    network = read_network(code, case.name, case.init)
    assert isinstance(network, NetworkFile), network
    assert network.notes[0].startswith(case.call), network.notes
    candidate = reader().read_file(network)
    assert isinstance(candidate, Candidate), candidate
    assert reader().read_whole(candidate.written) == candidate
    train_one_batch(candidate, (1, 3, 16, 16))


def test_the_text_of_the_network_is_kept() -> None:
    code = with_head(TRANSFORMER)
    network = read_network(code)
    assert isinstance(network, NetworkFile)
    assert network.code.startswith(code.replace("import torch.nn.functional as F\n", ""))
    assert network.notes[0].endswith("1 of 6 statements are left out as not needed")


def test_values_of_hyperparameters() -> None:
    """The configuration's hold, then the constructor's own, then LEMUR's usual ones."""
    values = {}
    for parameters in ("dropout=0.4", "dropout"):
        network = read_network(with_head(convolution(parameters)))
        assert isinstance(network, NetworkFile)
        candidate = reader().read_file(network)
        assert isinstance(candidate, Candidate)
        values[parameters] = candidate.hyperparameters["dropout"], len(reader().notes(network))
    assert values == {"dropout=0.4": (0.4, 1), "dropout": (0.2, 2)}
    assert candidate.hyperparameters["lr"] == 0.05


REFUSED = {
    "no network": ("x = 1\n", "no class of the file is an nn.Module", ""),
    "several networks": (
        convolution("", name="One") + "\n\n" + convolution("", name="Two"),
        "there are several networks in the file: One, Two",
        "Choose one with --class.",
    ),
    "networks that use each other": (
        "class A(nn.Module):\n    def forward(self, x):\n        return B()(x)\n"
        "class B(nn.Module):\n    def forward(self, x):\n        return A()(x)\n",
        "there are several networks in the file: A, B",
        "Choose one with --class.",
    ),
    "a configuration object": (
        CONFIGURED,
        "nngpt cannot guess what Configured takes as config",
        "Give values: --init 'config=…'",
    ),
    "arguments of a library": (
        RESNET,
        "nngpt cannot guess what ResNet takes as block, layers",
        "or choose a function that builds it: --class resnet_tiny",
    ),
    "a width alone": (convolution("width"), "cannot guess what Small takes as width", ""),
    "not Python": ("class Small(:\n", "the code is not valid Python", "line "),
    "all faults of a contract": (
        HALF,
        "4 faults against the contract (docs/contract.md)",
        "cannot be called as (self, in_shape, out_shape, prm, device)\n",
    ),
    "one fault": (COMPLETE, "there is no function supported_hyperparameters()", ""),
}


@pytest.mark.parametrize(("code", "reason", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_wrapped_is_refused(code: str, reason: str, detail: str) -> None:
    refusal = read_network(with_head(code))
    assert isinstance(refusal, Refusal), refusal
    assert refusal.stage in (Stage.CONTRACT, Stage.PARSE)
    assert reason in refusal.reason and detail in refusal.detail, refusal


@pytest.mark.parametrize(
    ("name", "init", "line"),
    [
        ("Smal", None, "--class: there is no class or function 'Smal'. Did you mean 'Small'?"),
        (None, "num_class=3", "no parameter 'num_class'. Did you mean 'num_classes'?"),
        (None, "num_classes={class}", "unknown placeholder {class}. Did you mean 'classes'?"),
        (None, "{classes}", "--init: is not a list of NAME=VALUE. Example: --init 'num_"),
        (None, "**{1: 2}", "--init: is not a list of NAME=VALUE"),
        (None, "", "--init: is not a list of NAME=VALUE"),
        (None, "num_classes=", "--init: is not valid Python"),
        (None, "num_classes=1) + open('x'", "--init: is not a list of NAME=VALUE"),
    ],
)
def test_wrong_options_are_an_error(name: str | None, init: str | None, line: str) -> None:
    with pytest.raises(UserError) as error:
        read_network(with_head(convolution("num_classes")), name, init)
    assert line in str(error.value)


def test_given_arguments_pass_the_safety_check() -> None:
    network = read_network(with_head(convolution("num_classes")), init="num_classes=open('x')")
    assert isinstance(network, NetworkFile)
    refusal = reader().read_file(network)
    assert isinstance(refusal, Refusal) and refusal.stage == Stage.SAFETY


def test_a_live_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file gives all its text; of a notebook's cell, imports of other cells are added."""
    code = with_head(convolution("num_classes=10", classes="num_classes", name="Live"))
    (tmp_path / "live_module.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("live_module")
    from_file = read_class(module.Live)
    (tmp_path / "cell.py").write_text(code.removeprefix(HEAD))
    exec(compile(code.removeprefix(HEAD), str(tmp_path / "cell.py"), "exec"), vars(module))
    from_cell = read_class(module.Live)
    del sys.modules["live_module"]
    assert isinstance(from_file, NetworkFile) and isinstance(from_cell, NetworkFile)
    assert from_cell.code.removeprefix(
        "import torch.nn.functional as F\nimport torch.nn as nn\n"
    ) == (from_file.code.removeprefix(HEAD.replace("import torch\n", "", 1)))
    made = type("Made", (module.nn.Module,), {"__module__": "nowhere"})
    with pytest.raises(UserError, match="Made: its source is not available"):
        read_class(made)
