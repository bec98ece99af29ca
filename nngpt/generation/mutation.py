"""The control arm `corpus`: networks of the corpus, changed at random; no LLM has a part in it.

The rule: draw a network of the corpus, all alike likely, and change it so many times. A change is
one of these, all alike likely: `drop` a layer, `repeat` one somewhere else, `swap` two neighbours,
`exchange` an activation for another one, or `resize` a lazy layer to half or twice its channels.
In `features` mode the layers are those of the answer's list, in the other modes those that stand
in a row in an `nn.Sequential(...)`. What comes of it may well be broken: it passes the same gates.
"""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nngpt.generation import contract
from nngpt.generation.contract import answers
from nngpt.generation.contract.layers import read_layers, write_layers
from nngpt.records import Candidate, Completion, Prompt, Refusal, derive_seed

Row = list[ast.expr]

MODEL = "none: a changed corpus network"
"""What stands for the model's name in the attempts of this arm."""

ACTIVATIONS = (
    "ReLU",
    "LeakyReLU",
    "ELU",
    "GELU",
    "SiLU",
    "Mish",
    "Hardswish",
    "ReLU6",
    "SELU",
    "CELU",
)

_TRIES = 100


class CorpusSampler:
    """Writes answers without an LLM; see the module's docstring.

    Attributes:
        networks: that are drawn from.
        changes: how many changes are made to each.
    """

    def __init__(
        self,
        networks: Sequence[Candidate],
        prompt: Prompt,
        defaults: contract.Defaults,
        changes: int,
    ) -> None:
        self.networks, self.changes = networks, changes
        self.prompt, self._defaults = prompt, defaults

    def write(self, count: int, seed: int) -> list[Completion]:
        """`count` answers to the run's prompt; the same seed gives the same texts."""
        return [self._completion(seed, index) for index in range(count)]

    def _completion(self, seed: int, index: int) -> Completion:
        started = time.monotonic()
        chance = random.Random(derive_seed(seed, index))
        text = self._answer(chance)
        seconds = time.monotonic() - started
        return Completion(text, MODEL, None, seed, index, 0, 0, seconds)

    def _answer(self, chance: random.Random) -> str:
        """A changed network that begins as the prompt asks; unchanged ones do not count."""
        written = ""
        for _ in range(_TRIES):
            network = chance.choice(self.networks)
            written = self._changed(network, chance)
            if written and written.startswith(self.prompt.prefill):
                return written.removeprefix(self.prompt.prefill)
        return written

    def _changed(self, network: Candidate, chance: random.Random) -> str:
        if self.prompt.mode == "features":
            return self._changed_list(network, chance)
        answer = answers.read(self._whole(network))
        if isinstance(answer, Refusal):
            return ""
        code = change(answer.code, self.changes, chance)
        return answers.write(replace(answer, code=code)) if code else ""

    def _changed_list(self, network: Candidate, chance: random.Random) -> str:
        code = change(contract.novelty_text(network), self.changes, chance)
        layers = read_layers(code) if code else ()
        return "" if isinstance(layers, Refusal) or not layers else write_layers(layers)

    def _whole(self, network: Candidate) -> str:
        """The network as an answer with its settings."""
        if self.prompt.mode == "body":
            return self.prompt.prefill + network.written
        return contract.full_answer(network, self._defaults)


def change(code: str, changes: int, chance: random.Random) -> str:
    """The code with so many changes, "" if it has no rows of layers."""
    tree = ast.parse(code)
    rows = [node for node in ast.walk(tree) if _is_row(node)]
    if not rows:
        return ""
    done = 0
    for _ in range(_TRIES):
        row = chance.choice(rows)
        assert isinstance(row, ast.Call)
        done += chance.choice(_CHANGES)(row.args, chance)
        if done == changes:
            return ast.unparse(tree)
    return ""


def _drop(row: Row, chance: random.Random) -> bool:
    if len(row) < 2:
        return False
    del row[chance.randrange(len(row))]
    return True


def _repeat(row: Row, chance: random.Random) -> bool:
    copied = ast.parse(ast.unparse(chance.choice(row)), mode="eval").body
    row.insert(chance.randrange(1, len(row) + 1), copied)
    return True


def _swap(row: Row, chance: random.Random) -> bool:
    places = [i for i in range(len(row) - 1) if ast.dump(row[i]) != ast.dump(row[i + 1])]
    if not places:
        return False
    i = chance.choice(places)
    row[i], row[i + 1] = row[i + 1], row[i]
    return True


def _exchange(row: Row, chance: random.Random) -> bool:
    places = [i for i, layer in enumerate(row) if _kind(layer) in ACTIVATIONS]
    if not places:
        return False
    i = chance.choice(places)
    others = [name for name in ACTIVATIONS if name != _kind(row[i])]
    row[i] = ast.parse(f"nn.{chance.choice(others)}()", mode="eval").body
    return True


def _resize(row: Row, chance: random.Random) -> bool:
    sizes = [size for layer in row if (size := _channels(layer))]
    if not sizes:
        return False
    size, double = chance.choice(sizes), chance.random() < 0.5
    size.value = 2 * size.value if double else max(1, size.value // 2)
    return True


_CHANGES: Sequence[Callable[[Row, random.Random], bool]] = (
    _drop,
    _repeat,
    _swap,
    _exchange,
    _resize,
)


def _channels(layer: ast.expr) -> Any:
    """The constant that says how many channels a lazy convolution gives, None if there is none."""
    if not (isinstance(layer, ast.Call) and _kind(layer).startswith("LazyConv") and layer.args):
        return None
    size = layer.args[0]
    return size if isinstance(size, ast.Constant) and type(size.value) is int else None


def _is_row(node: ast.AST) -> bool:
    """Whether it is an `nn.Sequential(...)` with layers written out."""
    if not (isinstance(node, ast.Call) and _kind(node) == "Sequential" and node.args):
        return False
    return not any(isinstance(layer, ast.Starred) for layer in node.args)


def _kind(layer: ast.expr) -> str:
    """`Conv2d` for `nn.Conv2d(…)`, "" for anything else."""
    function = layer.func if isinstance(layer, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else ""
