"""The engine `llm`: a code LLM reads the network and writes the settings as JSON of a schema.

Asked as in the paper (nn-gpt, hyperparameter prediction): the code, the task, and the accuracy
that is wanted. What it is tuned on (`pairs`) is rendered by the same functions.
"""

from __future__ import annotations

import ast
import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nngpt.data.transform_names import dashed
from nngpt.errors import ModelError
from nngpt.generation.contract.answers import Hyperparameters
from nngpt.prediction.hpo.choice import Choice, Space
from nngpt.prediction.hpo.pools import Pool
from nngpt.prediction.places import Place, facts
from nngpt.prediction.runs import Run
from nngpt.protocols import WritesJson
from nngpt.records import Message, Mode, Prompt, Sampling, TrainingPair

CODE_CHARACTERS = 1500
"""Of the code; more is left out of its middle, since prompts of the embedded model are short."""

LEARNED = 3
"""Pools of at least so many trials are learned from."""

_TOKENS = 120
_QUESTION = """\
Choose the settings for training this PyTorch network.
Task: {task}. Data set: {dataset}{facts}. Metric: {metric}.
Epochs: {epochs}. Accuracy to reach: {target}.
Settings: {names}.

```python
{code}
```"""


def question(
    code: str, space: Space, place: Place, epochs: int, target: float | None = None
) -> Prompt:
    """What the LLM is asked; `target` is an accuracy (0…1), None for as high as can be."""
    text = _QUESTION.format(
        task=place.task,
        dataset=place.dataset,
        facts=_facts(place.dataset),
        metric=place.metric,
        epochs=epochs,
        target="the highest possible" if target is None else f"{target:.2f}",
        names=", ".join(space.schema()["required"]),
        code=abridged(code),
    )
    return Prompt("hpo", "1", Mode.FULL, (Message("user", text),), "", ())


def answer(settings: Mapping[str, float | str]) -> str:
    """Settings as the LLM should write them: JSON on one line, numbers of two digits."""
    return json.dumps({name: _short(value) for name, value in settings.items()})


def by_llm(
    llm: WritesJson,
    code: str,
    space: Space,
    place: Place,
    epochs: int,
    top: int = 1,
    target: float | None = None,
    seed: int = 0,
) -> list[Choice]:
    """`top` answers of an LLM that can write under a constraint; the first is its likeliest.

    Raises:
        ModelError: an answer is cut off, or keeps not to the schema.
    """
    values, notes = space.fixed()
    asked, schema = question(code, space, place, epochs, target), space.schema()
    sampling = Sampling(temperature=0.0, top_k=0, top_p=1.0, max_new_tokens=_TOKENS)
    found = llm.generate_json(asked, schema, 1, seed, sampling)
    if top > 1:
        free = Sampling(temperature=0.7, top_k=0, top_p=0.95, max_new_tokens=_TOKENS)
        found += llm.generate_json(asked, schema, top - 1, seed, free)
    return [_choice(read(one.text, space), values, epochs, notes) for one in found]


def read(text: str, space: Space) -> dict[str, Any]:
    """The settings in an answer, exactly those that can be chosen, within their ranges.

    Raises:
        ModelError: they are not.
    """
    try:
        found = json.loads(text)
        given = Hyperparameters.model_validate(found)
    except (ValueError, ValidationError):
        raise ModelError(f"the answer is not of the schema ({text[:80]!r})") from None
    wanted = set(space.schema()["required"])
    valid = set(found) == wanted and None not in found.values()
    if not valid or given.batch not in space.batches or given.transform not in space.transforms:
        raise ModelError(f"the answer is not of the schema ({text[:80]!r})")
    return dict(found)


def pairs(
    found: Sequence[Pool],
    codes: Mapping[str, str],
    components: Mapping[str, str],
    limit: int,
    seed: int,
) -> list[TrainingPair]:
    """Questions with answers from pools of trials, `limit` of them.

    Of each pool the best trial for "the highest possible" and one at random for the accuracy that
    it reached. Components of near-duplicates take turns, so that large families do not crowd out
    the others.
    """
    draw = random.Random(seed)
    turns: dict[str, list[Pool]] = {}
    for pool in draw.sample(list(found), len(found)):
        turns.setdefault(components[pool.network], []).append(pool)
    made: list[TrainingPair] = []
    while turns and len(made) < limit:
        for component in list(turns):
            made += _pairs_of(turns[component].pop(), codes, draw)
            if not turns[component]:
                del turns[component]
    return made[:limit]


def abridged(code: str, most: int = CODE_CHARACTERS) -> str:
    """What a choice may depend on: code without comments, docstrings, imports and `learn`, which
    is much the same everywhere; without its middle if it is long.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    tree = _Abridged().visit(ast.parse(code))
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    text = ast.unparse(tree)
    if len(text) <= most:
        return text
    end = most // 4
    return f"{text[: most - end]}\n…\n{text[-end:]}"


class _Abridged(ast.NodeTransformer):
    """Drops `learn`, and expressions that are mere constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return None if node.name == "learn" else self.generic_visit(node)


def _pairs_of(pool: Pool, codes: Mapping[str, str], draw: random.Random) -> list[TrainingPair]:
    best = int(pool.accuracies.argmax())
    other = draw.randrange(len(pool.runs))
    made = []
    for number, target in ((best, None), (other, float(pool.accuracies[other]))):
        run = pool.runs[number]
        space, settings = space_of(run), _settings_of(run)
        if settings is not None:
            asked = question(codes[run.network], space, pool.place, pool.epochs, target)
            made.append(TrainingPair(asked, answer(settings), pool.name))
    return made


def space_of(run: Run) -> Space:
    """What may be chosen for the network of a trial, as the LLM learns and is asked."""
    return Space.of(frozenset(run.hyperparameters), max_batch=512)


def _settings_of(run: Run) -> dict[str, float | str] | None:
    """What the answer says; None for a transform or a batch size that cannot be chosen."""
    space = space_of(run)
    batch, transform = run.hyperparameters.get("batch"), dashed(run.transform or "")
    if batch not in space.batches or transform not in space.transforms:
        return None
    chosen = {name: run.hyperparameters[name] for name in space.known}
    return {**chosen, "batch": int(batch), "transform": transform}


def _choice(
    found: Mapping[str, Any], values: Mapping[str, float], epochs: int, notes: tuple[str, ...]
) -> Choice:
    chosen = {name: float(found[name]) for name in values if name in found}
    return Choice(
        "llm", {**values, **chosen}, found["batch"], found["transform"], epochs, None, notes
    )


def _short(value: float | str) -> float | str:
    if isinstance(value, str | int) or not value:
        return value
    return round(value, 1 - math.floor(math.log10(abs(value))))


def _facts(dataset: str) -> str:
    known = facts(dataset)
    if math.isnan(known.classes):
        return ""
    return f" ({known.classes:.0f} classes, {known.images:,.0f} images)"
