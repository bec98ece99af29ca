"""New layer lists from those of a corpus: blocks of several lists in a row, none like another.

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
from dataclasses import replace
from pathlib import Path
from typing import Any

from nngpt import contract
from nngpt.config import NoveltyConfig
from nngpt.contract.layers import read_layers, write_layers
from nngpt.errors import ConfigError
from nngpt.learning.corpus.converting import Line, read_lines, write_parts
from nngpt.learning.corpus.maps import side
from nngpt.learning.corpus.splits import PARTS
from nngpt.learning.corpus.widths import narrowed
from nngpt.novelty import minhash
from nngpt.prompts import Template
from nngpt.records import Candidate, Mode, Prompt, Refusal, Task

Layers = tuple[str, ...]
Check = Callable[[Candidate], Refusal | None]

_ACTIVATIONS = (
    "nn.ReLU()",
    "nn.LeakyReLU()",
    "nn.ELU()",
    "nn.GELU()",
    "nn.SiLU()",
    "nn.Mish()",
    "nn.Hardswish()",
)
_ACTIVATION = re.compile(r"nn\.(ReLU6?|LeakyReLU|ELU|GELU|SiLU|SELU|Mish|Hardswish|PReLU)\(.*\)")
_NORM = "nn.LazyBatchNorm2d()"
_NORMALISED = 0.9
"""Share of children that normalise after every convolution: they learn more in one epoch."""

_ONE_STYLE = 0.1
"""Share of children with one activation throughout."""

_PLACES = 3
"""Smallest side of a child's last map: what looks at hardly any places learns little."""

_DEPTHS = (2, 3, 3, 4, 4, 5, 5, 6)
_TRIES = 40
_BUDGET = 0.25
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
    """Write the corpus `out`: that of `folder`, with up to `count` children in its training part.

    Every child fits the contract, passes `check`, and is no near-duplicate (Jaccard similarity
    above 0.90) of any other network of the corpus. Returns how many there are.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is no answer in `features` mode, or has no layers.
    """
    parts = {f"{part}.jsonl": read_lines(folder / f"{part}.jsonl") for part in PARTS}
    known = minhash.create(NoveltyConfig())
    for name, lines in parts.items():
        for number, line in enumerate(lines, 1):
            known.add(f"{name} {number}", write_layers(_layers(line, f"{folder / name}")))
    parents = parts["train.jsonl"]
    lists = [_layers(line, str(folder / "train.jsonl")) for line in parents]
    children: list[Line] = []
    for child in _children(lists, tasks, random.Random(seed), count * _TRIES):
        if len(children) == count:
            break
        text = write_layers(child)
        new = _line(parents[0], text, len(children) + 1)
        if new is None or known.compare(text).duplicate:
            continue
        read = _read(new, template, tasks[0], defaults)
        if isinstance(read, Refusal) or (check is not None and check(read) is not None):
            continue
        known.add(new["source"], text)
        children.append(new)
        progress(len(children))
    write_parts(out, {**parts, "train.jsonl": [*parents, *children]})
    return len(children)


def _children(
    lists: Sequence[Layers], tasks: Sequence[Task], chance: random.Random, tries: int
) -> Iterator[Layers]:
    budgets = [
        replace(task, max_parameters=int(task.max_parameters * _BUDGET))
        for task in tasks
        if task.max_parameters
    ]
    blocks = [_blocks(layers) for layers in lists]
    smallest = min(min(task.in_shape[2:]) for task in tasks)
    for _ in range(tries):
        depth = chance.choice(_DEPTHS)
        chosen = [_block_at(chance.choice(blocks), place / depth) for place in range(depth)]
        child = narrowed(_styled(chosen, chance), budgets)
        if side(child, smallest) >= _PLACES:
            yield child


def _blocks(layers: Layers) -> list[Layers]:
    """Each convolution with what follows it."""
    starts = [i for i, layer in enumerate(layers) if "Conv" in layer]
    ends = [*starts[1:], len(layers)]
    return [layers[start:end] for start, end in zip(starts, ends, strict=True)]


def _block_at(blocks: Sequence[Layers], depth: float) -> Layers:
    """The block at this depth (0…1) of a list."""
    return blocks[int(depth * len(blocks))]


def _styled(blocks: Sequence[Layers], chance: random.Random) -> Layers:
    """All layers: new activations; normalisation after every convolution, or where it was."""
    kinds = [chance.choice(_ACTIVATIONS) for _ in blocks]
    if chance.random() < _ONE_STYLE:
        kinds = kinds[:1] * len(blocks)
    normalised = chance.random() < _NORMALISED
    found: list[str] = []
    for block, activation in zip(blocks, kinds, strict=True):
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


def _line(like: Line, text: str, number: int) -> Line | None:
    """A line of the corpus, None if the text does not begin as the prompt asks."""
    if not text.startswith(like["prefill"]):
        return None
    facts = {"source": f"recombined {number}", "nn_id": "", "family": "recombined"}
    none = {"accuracy": None, "accuracy_on": None, "accuracy_epoch": None}
    return {**like, "completion": text.removeprefix(like["prefill"]), **facts, **none}


def _read(
    line: Line, template: Template, task: Task, defaults: contract.Defaults
) -> Candidate | Refusal:
    asked = Prompt("", "", Mode.FEATURES, (), line["prefill"], tuple(line["stop"]))
    return contract.read(line["completion"], asked, task, template, defaults)
