"""Recombine the layer lists of a corpus into new networks that are no near-duplicates.

The deduplicated mirror holds about 150 short layer lists. A small LLM that sees each several times
memorises them; from many lists that it sees once it learns how such lists are made. A child takes
blocks (a convolution and the layers after it) from its parents at about the same depth. In nine of
ten children each block gets its own activation: apart from numbers, lists with one activation
differ so little that two in three are near-duplicates of one of 500 others (docs/learning.md).
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
from nngpt.finetuning.corpus.build import PARTS
from nngpt.finetuning.corpus.layers import narrow_to_budget
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, write
from nngpt.generation.contract.layer_list import read_layers, write_layers
from nngpt.generation.pairs import prompt_keys
from nngpt.generation.prompts.template import Template
from nngpt.novelty.measures.jaccard import JaccardMeasure
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task
from synthetic_networks.bodies import Layers, split_blocks, write_body
from synthetic_networks.lines import Line, read_lines, write_parts
from synthetic_networks.map_size import last_map_side

Check = Callable[[Candidate], Refusal | None]
"""Returns why a child is refused, None if it trains."""

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
"""Probability of normalisation after every convolution, which learns more in one epoch."""

_ONE_ACTIVATION = 0.1
"""Probability that a child has one activation throughout."""

_MIN_SIDE = {"features": 3, "body": 5}
"""Minimum output resolution: smaller maps train poorly, and the LLM tends to add one pooling
layer."""

_DEPTHS = {"features": (2, 3, 4, 4, 5, 5, 6, 6), "body": (1, 2, 3, 4, 5, 6, 7, 8, 9)}
"""Numbers of convolutions to draw from. LEMUR's bodies differ more in depth than its lists."""

_TRIES = 40
"""Maximum number of drawn children for each one wanted."""
_PARAMETERS = 500_000
"""Parameter budget if the configuration sets none."""

_BUDGET_SHARE = 0.2
"""Share of the parameter budget that a child may use: the LLM's variations are often larger."""


def recombine_lists(
    folder: Path,
    out: Path,
    count: int,
    template: Template,
    tasks: Sequence[Task],
    defaults: contract.Defaults,
    seed: int,
    check: Check | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Write a corpus with up to `count` children of the layer lists in `folder`.

    For a template of `features` mode the corpus is that of `folder` with the children added to its
    training part; for one of `body` mode it consists of the children written as bodies, each the
    answer for one of the tasks. Every child fits the contract, passes `check`, and is no
    near-duplicate (Jaccard similarity above 0.90) of any other network of the corpus. Return the
    number of children.

    Raises:
        UserError: a file cannot be read or written.
        ConfigError: a line is not an answer in `features` mode, or has no layers.
    """
    parts = {f"{part}.jsonl": read_lines(folder / f"{part}.jsonl") for part in PARTS}
    lists = {
        name: [_layers(line, f"{folder / name}") for line in lines] for name, lines in parts.items()
    }
    known = JaccardMeasure(NoveltyConfig())
    if template.mode == "features":
        for name, found in lists.items():
            for number, layers in enumerate(found, 1):
                known.add(f"{name} {number}", write_layers(layers))
    else:
        parts = {name: [] for name in parts}
    prompts = _child_prompts(template, tasks, defaults)
    chance = random.Random(seed)
    children: list[Line] = []
    for layers in _children(lists["train.jsonl"], tasks, template.mode, chance, count * _TRIES):
        if len(children) == count:
            break
        asked = prompts[len(children) % len(prompts)]
        child = asked.read(_answer(layers, template.mode, chance))
        if isinstance(child, Refusal):
            continue
        text = contract.novelty_text(child)
        if known.compare(text).duplicate or (check is not None and check(child) is not None):
            continue
        known.add(f"{len(children)}", text)
        children.append(asked.line(child, len(children) + 1))
        on_progress(len(children))
    write_parts(out, {**parts, "train.jsonl": [*parts["train.jsonl"], *children]})
    return len(children)


def _answer(layers: Layers, mode: str, chance: random.Random) -> str:
    """Return a child as an answer."""
    if mode == "features":
        return write_layers(layers)
    return write(Answer(write_body(layers, _ACTIVATIONS, chance), {}))


@dataclass(frozen=True)
class _ChildPrompt:
    """A prompt that children answer, with its tasks and template."""

    prompt: Prompt
    tasks: Sequence[Task]
    template: Template
    defaults: contract.Defaults

    def read(self, text: str) -> Candidate | Refusal:
        """Return the network of an answer, prefill included, or why the contract refuses it."""
        if not text.startswith(self.prompt.prefill):
            return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
        written = text.removeprefix(self.prompt.prefill)
        return contract.read(written, self.prompt, self.tasks[0], self.template, self.defaults)

    def line(self, child: Candidate, number: int) -> Line:
        """Return the child's line of the corpus."""
        return {
            **prompt_keys(self.prompt),
            "completion": child.written,
            "task": ",".join(task.dataset for task in self.tasks),
            "source": f"recombined {number}",
            "nn_id": "",
            "family": "recombined",
            "accuracy": None,
            "accuracy_on": None,
            "accuracy_epoch": None,
        }


def _child_prompts(
    template: Template, tasks: Sequence[Task], defaults: contract.Defaults
) -> list[_ChildPrompt]:
    """Return one prompt for all tasks in `features` mode, else one for each task."""
    together = [tasks] if template.mode == "features" else [[task] for task in tasks]
    return [
        _ChildPrompt(template.render(some[0], defaults.hyperparameters), some, template, defaults)
        for some in together
    ]


def _children(
    lists: Sequence[Layers], tasks: Sequence[Task], mode: str, chance: random.Random, tries: int
) -> Iterator[Layers]:
    """Yield random layer lists that fit the budget and leave a large enough last map."""
    budgets = [
        replace(task, max_parameters=int((task.max_parameters or _PARAMETERS) * _BUDGET_SHARE))
        for task in tasks
    ]
    parents = [split_blocks(layers) for layers in lists]
    smallest = min(min(task.in_shape[2:]) for task in tasks)
    for _ in range(tries):
        depth = chance.choice(_DEPTHS[mode])
        chosen = [_block_at(chance.choice(parents), place / depth) for place in range(depth)]
        child = narrow_to_budget(_restyle(chosen, chance), budgets)
        if last_map_side(child, smallest) >= _MIN_SIDE[mode]:
            yield child


def _block_at(parent: Sequence[Layers], depth: float) -> Layers:
    """Return the block at a relative depth (0…1) of a list."""
    return parent[int(depth * len(parent))]


def _restyle(chosen: Sequence[Layers], chance: random.Random) -> Layers:
    """Join blocks with new activations, normalised after every convolution or as before."""
    kinds = [chance.choice(_ACTIVATIONS) for _ in chosen]
    if chance.random() < _ONE_ACTIVATION:
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
    """Return the layers of a line. Raises: ConfigError."""
    read = read_layers(line["prefill"] + line["completion"])
    if line["mode"] != "features" or isinstance(read, Refusal):
        raise ConfigError("not a corpus of layer lists", where=where)
    return read
