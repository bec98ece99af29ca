"""LLM backend `mutation`: known networks, changed at random; no language model takes part.

Each answer is a known network, drawn uniformly, with a number of random changes. A change, drawn
uniformly, is one of: `drop` a layer, `repeat` one at another place, `swap` two neighbours,
`exchange` an activation for another one, or `resize` a lazy layer to half or twice its channels.
The layers are those of an answer's list (mode `features`), else those in a row in an
`nn.Sequential(...)`; a mode may have changes of its own. A crossover continues a row of one network
with the end of a row of another. An answer may be broken: it passes the same gates as all others.

The control arm `corpus` writes with this backend, and so are repeats replaced
(`candidates.repeats: mutate` or `crossover`); a whole run can, too (`llm.backend: mutation`).
"""

from __future__ import annotations

import ast
import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from nngpt.config import LLMConfig
from nngpt.errors import ConfigError
from nngpt.generation import modes
from nngpt.generation.contract import answers
from nngpt.generation.contract.layer_list import read_layers, write_layers
from nngpt.generation.pairs import chat_pairs
from nngpt.plugins import PluginOptions
from nngpt.protocols import ChangesAnswers, CrossesAnswers
from nngpt.records import (
    RANDOM_CHANGE,
    Adapter,
    Completion,
    Prompt,
    Refusal,
    Sampling,
    derive_seed,
)

Row = list[ast.expr]
_Change = Callable[[Row, random.Random], bool]
"""Changes a row in place; False if the change is impossible."""

_ACTIVATIONS = "ReLU LeakyReLU ELU GELU SiLU Mish Hardswish ReLU6 SELU CELU"
ACTIVATIONS = _ACTIVATIONS.split()

_TRIES = 100


class Options(PluginOptions):
    """Options of the backend `mutation`: the networks and the number of changes to each.

    The networks are `answers`, or those of `corpus`: a file that `nngpt corpus build` wrote, in
    the mode of the run's prompt.
    """

    answers: tuple[str, ...] = ()
    corpus: Path | None = None
    changes: int = Field(2, gt=0, le=20)


def create(config: LLMConfig, *, options: Options) -> MutationLLM:
    """Return the backend `mutation`, its networks collected. Raises: ConfigError."""
    known = list(options.answers)
    if options.corpus is not None:
        pairs = chat_pairs(options.corpus, "llm.options.corpus:")
        known += [pair.prompt.prefill + pair.completion for pair in pairs]
    if not known:
        raise ConfigError("there is no network to change", where="llm.options.corpus")
    return MutationLLM(known, options.changes, config.batch_size)


class MutationLLM:
    """Implements `nngpt.protocols.LLM` by changing known networks at random.

    Attributes:
        known: whole answers to choose from.
        changes: number of changes to each.
        avoid: whole answers that are not written, if others are found.
        crosses: cross two networks, and change only what is to be avoided.
    """

    model = RANDOM_CHANGE
    facts = "known networks with random changes, no model"

    def __init__(
        self,
        known: Sequence[str],
        changes: int,
        batch_size: int,
        avoid: Collection[str] = (),
        crosses: bool = False,
    ) -> None:
        self.known, self.changes, self.batch_size = known, changes, batch_size
        self.avoid, self.crosses = avoid, crosses and len(known) > 1

    def generate(
        self, prompt: Prompt, count: int, seed: int, sampling: Sampling
    ) -> list[Completion]:
        """Write `count` answers; the same seed gives the same texts, whatever the batch size."""
        return [self._completion(prompt, seed, index) for index in range(count)]

    def use_adapter(self, adapter: Adapter | None) -> None:
        """Do nothing: there is no model."""

    def stop(self) -> None:
        """Do nothing: no call takes long."""

    def close(self) -> None:
        """Do nothing: there is no model in memory."""

    def _completion(self, prompt: Prompt, seed: int, index: int) -> Completion:
        started = time.monotonic()
        text = self._answer(prompt, random.Random(derive_seed(seed, index)))
        seconds = time.monotonic() - started
        return Completion(text, RANDOM_CHANGE, None, seed, index, 0, 0, seconds)

    def _answer(self, prompt: Prompt, chance: random.Random) -> str:
        """Return a changed network without the prefill; retry networks that cannot be changed."""
        written, mode = "", modes.load(prompt.mode)
        change = mode.changed if isinstance(mode, ChangesAnswers) else _changed_answer
        cross = mode.crossed if isinstance(mode, CrossesAnswers) else _crossed_answers
        for _ in range(_TRIES):
            written = ""
            if self.crosses:
                one, other = chance.sample(self.known, 2)
                written = cross(one, other, chance)
            if not written or written in self.avoid:
                written = change(written or chance.choice(self.known), self.changes, chance)
            if written and written.startswith(prompt.prefill) and written not in self.avoid:
                break
        return written.removeprefix(prompt.prefill) if written.startswith(prompt.prefill) else ""


def _changed_answer(answer: str, changes: int, chance: random.Random) -> str:
    """Return a mutation of the answer: its code changed at random; "" if it has no layer row."""
    return _edited(answer, lambda code: change(code, changes, chance))


def _edited(answer: str, edit: Callable[[str], str]) -> str:
    """Return the answer with its code edited; "" if the edit gives none."""
    found = answers.read(answer)
    if not isinstance(found, Refusal):
        code = edit(found.code)
        return answers.write(replace(found, code=code)) if code else ""
    if "```" in answer:
        return ""
    code = edit(answer)  # the answer is a list of layers
    layers = read_layers(code) if code else ()
    return "" if isinstance(layers, Refusal) or not layers else write_layers(layers)


def _crossed_answers(answer: str, other: str, chance: random.Random) -> str:
    """Return a crossover of two answers; "" if one of them has no layer row."""
    found = answers.read(other)
    ending = other if isinstance(found, Refusal) else found.code
    return _edited(answer, lambda code: cross(code, ending, chance))


def change(code: str, changes: int, chance: random.Random) -> str:
    """Return a mutation of the code: its rows of layers changed at random; "" if it has none."""
    tree, rows = _rows(code)
    if not rows:
        return ""
    done = 0
    for _ in range(_TRIES):
        row = chance.choice(rows)
        done += chance.choice(_CHANGES)(row.args, chance)
        if done == changes:
            return ast.unparse(tree)
    return ""


def cross(code: str, other: str, chance: random.Random) -> str:
    """Return a crossover of the code: a row of layers that ends as one of the other; "" if none."""
    (tree, rows), (_, others) = _rows(code), _rows(other)
    if not (rows and others):
        return ""
    row, ending = chance.choice(rows).args, chance.choice(others).args
    row[chance.randrange(1, len(row) + 1) :] = ending[chance.randrange(len(ending)) :]
    return ast.unparse(tree)


def _rows(code: str) -> tuple[ast.Module, list[ast.Call]]:
    """Return the tree of a code with its rows of layers, none if it cannot be parsed."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return ast.Module([], []), []
    return tree, [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_row(node)]


def _drop(row: Row, chance: random.Random) -> bool:
    """Drop a layer; return False if there is only one."""
    if len(row) < 2:
        return False
    del row[chance.randrange(len(row))]
    return True


def _repeat(row: Row, chance: random.Random) -> bool:
    """Copy a layer to another place, never the first."""
    copied = ast.parse(ast.unparse(chance.choice(row)), mode="eval").body
    row.insert(chance.randrange(1, len(row) + 1), copied)
    return True


def _swap(row: Row, chance: random.Random) -> bool:
    """Swap two different neighbours; return False if there are none."""
    places = [i for i in range(len(row) - 1) if ast.dump(row[i]) != ast.dump(row[i + 1])]
    if not places:
        return False
    i = chance.choice(places)
    row[i], row[i + 1] = row[i + 1], row[i]
    return True


def _exchange(row: Row, chance: random.Random) -> bool:
    """Exchange an activation for another; return False if there is none."""
    places = [i for i, layer in enumerate(row) if _kind(layer) in ACTIVATIONS]
    if not places:
        return False
    i = chance.choice(places)
    others = [name for name in ACTIVATIONS if name != _kind(row[i])]
    row[i] = ast.parse(f"nn.{chance.choice(others)}()", mode="eval").body
    return True


def _resize(row: Row, chance: random.Random) -> bool:
    """Halve or double a lazy convolution's channels; return False if there is none."""
    sizes = [size for layer in row if (size := _channels(layer))]
    if not sizes:
        return False
    size, double = chance.choice(sizes), chance.random() < 0.5
    size.value = 2 * size.value if double else max(1, size.value // 2)
    return True


_CHANGES: Sequence[_Change] = (_drop, _repeat, _swap, _exchange, _resize)


def _channels(layer: ast.expr) -> Any:
    """Return the constant number of channels of a lazy convolution, None for any other layer."""
    if not (isinstance(layer, ast.Call) and _kind(layer).startswith("LazyConv") and layer.args):
        return None
    size = layer.args[0]
    return size if isinstance(size, ast.Constant) and type(size.value) is int else None


def _is_row(node: ast.Call) -> bool:
    """Return whether a call is an `nn.Sequential(...)` with its layers written out."""
    if not (_kind(node) == "Sequential" and node.args):
        return False
    return not any(isinstance(layer, ast.Starred) for layer in node.args)


def _kind(layer: ast.expr) -> str:
    """Return `Conv2d` for `nn.Conv2d(…)`, "" for anything else."""
    function = layer.func if isinstance(layer, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else ""
