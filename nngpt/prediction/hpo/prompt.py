"""The prompt of the HPO engine `llm`: its question, and the answer as JSON of a schema.

Prompts and training pairs (`tuning_pairs`) are rendered by the same functions (One renderer). The
question follows the papers: the code, the task and the accuracy to reach.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nngpt.errors import ModelError
from nngpt.files import parse_json
from nngpt.generation.contract.answers import Hyperparameters
from nngpt.prediction.hpo.proposal import HPOTask, SearchSpace
from nngpt.prediction.places import dataset_facts
from nngpt.records import Message, Prompt

CODE_CHARACTERS = 1500
"""Maximum length of the code in a question; prompts of the embedded model are short."""

_QUESTION = """\
Choose the settings for training this PyTorch network.
Task: {place.task}. Data set: {place.dataset}{facts}. Metric: {place.metric}.
Epochs: {epochs}. Accuracy to reach: {target}.
Settings: {names}.

```python
{code}
```"""


def question(task: HPOTask) -> Prompt:
    """Return the prompt that asks an LLM for the hyperparameters of a network."""
    place, known = task.place, dataset_facts(task.place.dataset)
    unknown = math.isnan(known.classes)
    counts = "" if unknown else f" ({known.classes:.0f} classes, {known.images:,.0f} images)"
    text = _QUESTION.format(
        place=place,
        facts=counts,
        epochs=task.epochs,
        target="the highest possible" if task.target is None else f"{task.target:.2f}",
        names=", ".join(task.space.schema()["required"]),
        code=abridged(task.code),
    )
    return Prompt("hpo", "1", "full", (Message("user", text),), "", ())


def answer(settings: Mapping[str, float | str]) -> str:
    """Return settings as an LLM should answer: one line of JSON, numbers with two digits."""
    return json.dumps({name: _rounded(value) for name, value in settings.items()})


def read_answer(text: str, space: SearchSpace) -> dict[str, Any]:
    """Return the settings in an LLM's answer to the HPO prompt, by schema. Raises: ModelError."""
    with suppress(ValueError):  # not JSON, or not valid for pydantic
        found = parse_json(text)
        given = Hyperparameters.model_validate(found)
        complete = set(found) == set(space.schema()["required"]) and None not in found.values()
        if complete and given.batch in space.batches and given.transform in space.transforms:
            return dict(found)
    raise ModelError(f"the answer does not match the schema ({text[:80]!r})")


def abridged(code: str, length: int = CODE_CHARACTERS) -> str:
    """Return a network's code shortened for the HPO prompt: no comments, imports or `learn`.

    Docstrings are removed, too; these parts tell little about the settings. An ellipsis replaces
    the middle of longer code.

    Raises:
        SyntaxError, ValueError: the code is not valid Python.
    """
    tree = _Abridger().visit(ast.parse(code))
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    text = ast.unparse(tree)
    if len(text) <= length:
        return text
    end = length // 4
    return f"{text[: length - end]}\n…\n{text[-end:]}"


class _Abridger(ast.NodeTransformer):
    """Removes functions named `learn`, and expressions that are mere constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        return None if node.name == "learn" else self.generic_visit(node)


def _rounded(value: float | str) -> float | str:
    """Round a float to two significant digits."""
    if isinstance(value, str | int) or not value:
        return value
    return round(value, 1 - math.floor(math.log10(abs(value))))
