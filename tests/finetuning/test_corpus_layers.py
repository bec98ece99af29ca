"""Layer lists and bodies extracted from networks without running them, and made smaller."""

from __future__ import annotations

import ast

import pytest
from corpus_samples import FILES, HEAD

from nngpt.finetuning.corpus.bodies import extract_body, strip_comments
from nngpt.finetuning.corpus.layers import count_parameters, extract_layers, narrow_to_budget
from nngpt.records import Refusal, Stage, Task

TASK = Task("mnist", (1, 1, 28, 28), (10,), 0.0, max_parameters=20_000)
OFFERED = frozenset({"lr", "momentum", "dropout"})


def net(*lines: str) -> str:
    return HEAD + "".join(f"        {line}\n" for line in lines)


READ = {
    "a list in place": (
        net("self.features = nn.Sequential(nn.Conv2d(in_shape[1], 8, 3), nn.ReLU(True))"),
        ("nn.LazyConv2d(8, 3)", "nn.ReLU()"),
    ),
    "numbers in names": (
        net(
            "width: int = 8",
            "self.wide = width * 2",
            "c = in_shape[1]",
            "layers = [torch.nn.Conv2d(c, self.wide + 1, 3, 2, padding=(1, 1))]",
            "c = width",
            "layers += [nn.BatchNorm2d(c, eps=1e-3), nn.Dropout(p=prm['dropout'])]",
            "layers.extend([nn.ReLU(inplace=True)])",
            "self.features = nn.Sequential(*layers)",
        ),
        (
            "nn.LazyConv2d(17, 3, stride=2, padding=(1, 1))",
            "nn.LazyBatchNorm2d(eps=0.001)",
            "nn.Dropout(p=0.3)",
            "nn.ReLU()",
        ),
    ),
    "lists in lists, and a head": (
        net(
            "stem = nn.Sequential(nn.Conv2d(in_shape[1], 8, kernel_size=5), nn.Identity())",
            "self.trunk = nn.Sequential(stem, nn.MaxPool2d(kernel_size=2, stride=2),",
            "    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, out_shape[0]))",
        ),
        ("nn.LazyConv2d(8, 5)", "nn.MaxPool2d(2, stride=2)"),
    ),
    "features among other lists": (
        net(
            "self.stem = nn.Sequential(nn.Conv2d(1, 8, 3))",
            "self.features = nn.Sequential(nn.Conv2d(8, 4, 1))",
        ),
        ("nn.LazyConv2d(4, 1)",),
    ),
}


@pytest.mark.parametrize("case", READ)
def test_layers_are_read(case: str) -> None:
    code, expected = READ[case]
    assert extract_layers(code, dropout=0.3) == expected


REFUSED = {
    "a loop": net("layers = []", "for c in (8, 16):", "    layers.append(nn.Conv2d(c, c, 3))")
    + "        self.features = nn.Sequential(*layers)\n",
    "a class of its own": net("self.features = nn.Sequential(nn.Conv2d(1, 8, 3), Block(8))"),
    "a value known only later": net(
        "self.features = nn.Sequential(nn.Conv2d(1, out_shape[0], 3))",
    ),
    "an unknown list inside": net("self.features = nn.Sequential(nn.Conv2d(1, 8, 3), *more())"),
    "several lists": net(
        "self.a = nn.Sequential(nn.Conv2d(1, 8, 3))", "self.b = nn.Sequential(nn.Conv2d(8, 8, 3))"
    ),
    "no class Net": "import torch\n",
    "no Python": "class Net(",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_list_of_constants_is_refused(case: str) -> None:
    assert isinstance(extract_layers(REFUSED[case], dropout=0.3), Refusal)


def test_a_body_is_the_network_without_what_the_template_adds() -> None:
    for name in ("plain", "residual", "branches"):
        body = extract_body(FILES[name], OFFERED)
        assert isinstance(body, str)
        for left_out in ("import torch", "supported_hyperparameters", "train_setup", "learn("):
            assert left_out not in body
        assert "class Net(nn.Module):" in body and "def forward" in body
        for line in body.split("\n"):
            assert not line.strip() or line in FILES[name]


def test_a_body_that_the_template_cannot_train_is_refused() -> None:
    plain = FILES["plain"]
    for code, said in (
        (plain.replace("self.device = device", "self.where = device"), "self.device"),
        (plain.replace('prm["dropout"]', 'prm["rate"]'), "hyperparameters"),
        (
            plain.replace("super().__init__()", "super().__init__(); self.train_setup(prm)"),
            "itself",
        ),
    ):
        assert code != plain
        refusal = extract_body(code, OFFERED)
        assert isinstance(refusal, Refusal) and said in refusal.reason


@pytest.mark.parametrize("name", sorted(FILES))
def test_compact_code_is_the_same_network(name: str) -> None:
    short = strip_comments(FILES[name])
    assert isinstance(short, str) and len(short) <= len(FILES[name])
    kept = {n.name for n in ast.walk(ast.parse(short)) if isinstance(n, ast.FunctionDef)}
    assert kept == {
        n.name for n in ast.walk(ast.parse(FILES[name])) if isinstance(n, ast.FunctionDef)
    }
    assert strip_comments(short) == short
    assert not [n for n in ast.walk(ast.parse(short)) if isinstance(n, ast.arg) and n.annotation]


def test_a_docstring_alone_becomes_pass() -> None:
    assert strip_comments('class A:\n    """Nothing."""\n') == "class A:\n    pass"
    refused = strip_comments("class A(")
    assert isinstance(refused, Refusal) and refused.stage is Stage.PARSE


def test_layers_are_narrowed_to_the_budget_and_no_further() -> None:
    wide = ("nn.LazyConv2d(256, 3)", "nn.ReLU()", "nn.LazyConv2d(128, (3, 1))")
    assert narrow_to_budget(wide, []) == wide
    narrow = narrow_to_budget(wide, [TASK])
    trees = [ast.parse(layer, mode="eval").body for layer in narrow]
    # 16 places of the last width for each of 10 classes, 3×3 of 1 and 3×1 of the first width.
    assert narrow == ("nn.LazyConv2d(64, 3)", "nn.ReLU()", "nn.LazyConv2d(32, (3, 1))")
    assert count_parameters(trees, 1, 10) == 1 * 64 * 9 + 64 + 64 * 32 * 3 + 32 + 32 * 16 * 10
    grouped = ("nn.LazyConv2d(512, 3, groups=2)",)
    assert narrow_to_budget(grouped, [TASK]) == grouped
