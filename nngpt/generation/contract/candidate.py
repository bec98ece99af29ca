"""Make a candidate of a network file: check hyperparameters, transform, interface and safety.

The code is parsed, never executed.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nngpt.config import EvaluationConfig
from nngpt.data import transform_names
from nngpt.errors import nearest
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import PROTOCOL, Answer
from nngpt.generation.contract.interface import SUPPORTED, check_network, read_supported
from nngpt.generation.contract.safety import check_safety
from nngpt.records import Candidate, Prompt, Refusal, Stage

_TRANSFORM_NAMES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "transforms": "torchvision.transforms",
    "v2": "torchvision.transforms.v2",
}

USUAL: Mapping[str, float] = {**EvaluationConfig().hyperparameters, "weight_decay": 0.0}
"""A candidate's hyperparameters for which neither its answer nor the configuration has a value.

All others are refused: LEMUR draws theirs at random from 0…1, so its data suggest no value.
"""


@dataclass(frozen=True)
class Defaults:
    """Values of a candidate's settings that its answer leaves out.

    Attributes:
        hyperparameters: value by name, used for the hyperparameters that the network supports.
        batch: batch size.
        transform: transform name or source.
        usual: values of hyperparameters that are in neither; corpora are built without.
        fixed: whether the settings of answers are passed over (`evaluation.fixed`).
    """

    hyperparameters: Mapping[str, float]
    batch: int
    transform: str
    usual: Mapping[str, float] = field(default_factory=dict)
    fixed: bool = False

    @classmethod
    def of(cls, config: EvaluationConfig) -> Defaults:
        """Return the defaults of a configuration."""
        return cls(config.hyperparameters, config.batch, config.transform, fixed=config.fixed)


def make_candidate(
    answer: Answer, code: str, canonical: str, prompt: Prompt, defaults: Defaults
) -> Candidate | Refusal:
    """Check a network file and return it as a candidate, or the first reason against it.

    Args:
        answer: the answer, whose settings hold; `defaults` fill the gaps.
        code: the whole network file.
        canonical: the canonical text of the whole answer, prefill included.
        prompt: the prompt that was answered.
    """
    tree = parse(code)
    if isinstance(tree, Refusal):
        return tree
    supported = read_supported(tree)
    if isinstance(supported, Refusal):
        return supported
    if refusal := check_network(tree):
        return refusal
    values = _values(supported, answer.hyperparameters, defaults)
    if isinstance(values, Refusal):
        return values
    if refusal := check_transform(answer.transform) or check_safety(tree):
        return refusal
    if not canonical.startswith(prompt.prefill):
        return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
    return Candidate(
        code=code,
        written=canonical.removeprefix(prompt.prefill),
        mode=prompt.mode,
        hyperparameters=values,
        transform=answer.transform or defaults.transform,
        batch=answer.batch or defaults.batch,
    )


def full_answer(candidate: Candidate, defaults: Defaults) -> str:
    """Return a candidate's whole text as an answer of `full` mode."""
    own = candidate.hyperparameters.items() - defaults.hyperparameters.items()
    batch = candidate.batch if candidate.batch != defaults.batch else None
    transform = candidate.transform if candidate.transform != defaults.transform else None
    return answers.write(Answer(candidate.code.strip("\n").rstrip(), dict(own), batch, transform))


def check_transform(text: str | None) -> Refusal | None:
    """Return None if a candidate may have this transform, else a refusal."""
    if text is None or transform_names.spec(text) is not None:
        return None
    tree = parse(text)
    if isinstance(tree, Refusal) or "transform" not in _defined(tree):
        hint = nearest(text[:60], transform_names.names())
        return Refusal(Stage.CONTRACT, f"unknown transform {text[:60]!r}", hint)
    refusal = check_safety(tree, _TRANSFORM_NAMES)
    return replace(refusal, reason=f"the transform {refusal.reason}") if refusal else None


def parse(source: str) -> ast.Module | Refusal:
    """Parse a candidate's Python source, or return why Python would not compile it.

    Compiling finds more mistakes than parsing, such as a `return` outside a function.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(source)
            compile(source, "<candidate>", "exec", dont_inherit=True)
        return tree
    except SyntaxError as error:
        line = (error.text or "").strip()[:80]
        detail = f"line {error.lineno}: {error.msg}" + (f": {line}" if line else "")
        return Refusal(Stage.PARSE, "the code is not valid Python", detail)
    except (ValueError, OverflowError) as error:
        return Refusal(Stage.PARSE, "the code is not valid Python", str(error))


def _values(
    supported: frozenset[str], given: Mapping[str, float], defaults: Defaults
) -> dict[str, float] | Refusal:
    """Return a value for each supported hyperparameter, or a refusal if a name is wrong."""
    wanted = sorted(supported - PROTOCOL)
    unknown = sorted(set(given) - supported)
    if unknown:
        reason = f"the answer sets {unknown[0]!r}, which {SUPPORTED}() does not name"
        return Refusal(Stage.CONTRACT, reason, f"It names {', '.join(wanted) or 'nothing'}.")
    known = {**defaults.usual, **defaults.hyperparameters, **given}
    missing = [name for name in wanted if name not in known]
    if missing:
        return Refusal(
            Stage.CONTRACT,
            f"the hyperparameter {missing[0]!r} has no value",
            f"{SUPPORTED}() names it, but neither the answer nor "
            "evaluation.hyperparameters gives a value.",
        )
    return {name: float(known[name]) for name in wanted}


def _defined(tree: ast.Module) -> set[str]:
    """Return the names of module-level functions and assigned variables."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}
