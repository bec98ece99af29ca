"""New networks from the layer lists of a corpus: blocks of several lists, none like another.

The deduplicated mirror holds some 150 short layer lists. A small LLM that sees each several times
learns them by heart; of many that it sees once it learns how such lists are made. A child takes
blocks (a convolution and what follows it) from its parents at about the same depth. Mostly each
block gets an activation of its own: numbers apart, lists with one throughout differ so little that
two in three are near-duplicates of one of 500 others (docs/learning.md).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nngpt.config import NoveltyConfig
from nngpt.errors import ConfigError
from nngpt.finetuning.corpus.composing import Layers, blocks, body
from nngpt.finetuning.corpus.converting import Line, asked_for, read_lines, write_parts
from nngpt.finetuning.corpus.maps import side
from nngpt.finetuning.corpus.splits import PARTS
from nngpt.finetuning.corpus.widths import narrowed
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.layers import read_layers, write_layers
from nngpt.generation.prompts.template import Template
from nngpt.novelty.measures import minhash
from nngpt.records import Candidate, Mode, Prompt, Refusal, Stage, Task

Check = Callable[[Candidate], Refusal | None]

_ACTIVATIONS = (
    "nn.ReLU()",
    "nn.LeakyReLU()",
    "nn.ELU()",
    "nn.GELU()",
    "nn.SiLU()",
    "nn.Mish()",
    "nn.Hardswish()",
    "nn.ReLU6()",
    "nn.SELU()",
    "nn.CELU()",
)
_ACTIVATION = re.compile(
    r"nn\.(ReLU6?|LeakyReLU|ELU|GELU|SiLU|SELU|CELU|Mish|Hardswish|PReLU)\(.*\)"
)
_NORM = "nn.LazyBatchNorm2d()"
_NORMALISED = 0.9
"""Share of children that normalise after every convolution: they learn more in one epoch."""

_ONE_STYLE = 0.1
"""Share of children with one activation throughout."""

_PLACES = {Mode.FEATURES: 3, Mode.BODY: 5}
"""Smallest side of a child's last map: what looks at hardly any places learns little, and an LLM
pools once more than it has seen."""

_DEPTHS = {Mode.FEATURES: (2, 3, 4, 4, 5, 5, 6, 6), Mode.BODY: (1, 2, 3, 4, 5, 6, 7, 8, 9)}
"""Convolutions of a child. Bodies of LEMUR's differ more in depth than its lists."""

_TRIES = 40
_PARAMETERS = 500_000
"""Parameter budget where the run sets none."""

_BUDGET = 0.2
"""Part of the parameter budget that a child may take: what an LLM makes of it varies."""


def recombine(
    folder: Path,
    out: Path,
    count: int,
    template: Template,
    tasks: Sequence[Task],
    defaults: contract.Defaults,
    seed: int,
    check: Check | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the corpus `out` with up to `count` children of the layer lists in `folder`.

    For a template of `features` mode it is that of `folder` with the children in its training
    part; for one of `body` mode it holds networks made of the children alone, each the answer for
    one of the tasks. Every child fits the contract, passes `check`, and is no near-duplicate
    (Jaccard similarity above 0.90) of any other network of the corpus. Returns how many there are.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is no answer in `features` mode, or has no layers.
    """
    parts = {f"{part}.jsonl": read_lines(folder / f"{part}.jsonl") for part in PARTS}
    lists = {
        name: [_layers(line, f"{folder / name}") for line in lines] for name, lines in parts.items()
    }
    known = minhash.create(NoveltyConfig())
    if template.mode is Mode.FEATURES:
        for name, found in lists.items():
            for number, layers in enumerate(found, 1):
                known.add(f"{name} {number}", write_layers(layers))
    else:
        parts = {name: [] for name in parts}
    questions = _questions(template, tasks, defaults)
    chance = random.Random(seed)
    children: list[Line] = []
    for layers in _children(lists["train.jsonl"], tasks, template.mode, chance, count * _TRIES):
        if len(children) == count:
            break
        asked = questions[len(children) % len(questions)]
        child = asked.read(_answer(layers, template.mode, chance))
        if isinstance(child, Refusal):
            continue
        text = contract.novelty_text(child)
        if known.compare(text).duplicate or (check is not None and check(child) is not None):
            continue
        known.add(f"{len(children)}", text)
        children.append(asked.line(child, len(children) + 1))
        progress(len(children))
    write_parts(out, {**parts, "train.jsonl": [*parts["train.jsonl"], *children]})
    return len(children)


def _answer(layers: Layers, mode: Mode, chance: random.Random) -> str:
    if mode is Mode.FEATURES:
        return write_layers(layers)
    return write(Answer(body(layers, _ACTIVATIONS, chance), {}))


@dataclass(frozen=True)
class _Question:
    """What a child may be the answer to."""

    prompt: Prompt
    tasks: Sequence[Task]
    template: Template
    defaults: contract.Defaults

    def read(self, text: str) -> Candidate | Refusal:
        """The network of an answer, if it begins as the prompt asks and fits the contract."""
        if not text.startswith(self.prompt.prefill):
            return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
        written = text.removeprefix(self.prompt.prefill)
        return contract.read(written, self.prompt, self.tasks[0], self.template, self.defaults)

    def line(self, child: Candidate, number: int) -> Line:
        """Its line of the corpus."""
        return {
            **asked_for(self.prompt),
            "completion": child.written,
            "task": ",".join(task.dataset for task in self.tasks),
            "source": f"recombined {number}",
            "nn_id": "",
            "family": "recombined",
            "accuracy": None,
            "accuracy_on": None,
            "accuracy_epoch": None,
        }


def _questions(
    template: Template, tasks: Sequence[Task], defaults: contract.Defaults
) -> list[_Question]:
    """One for all tasks, where the prompt does not name the data set, or one for each."""
    together = [tasks] if template.mode is Mode.FEATURES else [[task] for task in tasks]
    return [
        _Question(template.render(some[0], defaults.hyperparameters), some, template, defaults)
        for some in together
    ]


def _children(
    lists: Sequence[Layers], tasks: Sequence[Task], mode: Mode, chance: random.Random, tries: int
) -> Iterator[Layers]:
    budgets = [
        replace(task, max_parameters=int((task.max_parameters or _PARAMETERS) * _BUDGET))
        for task in tasks
    ]
    parents = [blocks(layers) for layers in lists]
    smallest = min(min(task.in_shape[2:]) for task in tasks)
    for _ in range(tries):
        depth = chance.choice(_DEPTHS[mode])
        chosen = [_block_at(chance.choice(parents), place / depth) for place in range(depth)]
        child = narrowed(_styled(chosen, chance), budgets)
        if side(child, smallest) >= _PLACES[mode]:
            yield child


def _block_at(parent: Sequence[Layers], depth: float) -> Layers:
    """The block at this depth (0…1) of a list."""
    return parent[int(depth * len(parent))]


def _styled(chosen: Sequence[Layers], chance: random.Random) -> Layers:
    """All layers: new activations; normalisation after every convolution, or where it was."""
    kinds = [chance.choice(_ACTIVATIONS) for _ in chosen]
    if chance.random() < _ONE_STYLE:
        kinds = kinds[:1] * len(chosen)
    normalised = chance.random() < _NORMALISED
    found: list[str] = []
    for block, activation in zip(chosen, kinds, strict=True):
        for layer in block:
            if normalised and layer.startswith(_NORM.removesuffix(")")):
                continue
            found.append(activation if _ACTIVATION.fullmatch(layer) else layer)
            if normalised and "Conv" in layer:
                found.append(_NORM)
    return tuple(found)


def _layers(line: Mapping[str, Any], where: str) -> Layers:
    read = read_layers(line["prefill"] + line["completion"])
    if line["mode"] != Mode.FEATURES or isinstance(read, Refusal):
        raise ConfigError("not a corpus of layer lists", where=where)
    return read
