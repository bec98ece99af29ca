"""From a completion to a candidate, or to the reason why there is none; nothing is executed.

`read` is total: any text at all gives a `Candidate` or a `Refusal`. Its stages are parse (is
there an answer, is it Python), contract (LEMUR's interface, hyperparameters, transform) and
safety. Whatever passes reads the same again: `read(candidate.written) == candidate`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nngpt.config import EvaluationConfig
from nngpt.data import transform_names
from nngpt.errors import nearest
from nngpt.generation.contract import answers
from nngpt.generation.contract.answers import PROTOCOL, Answer
from nngpt.generation.contract.blocks import credited, with_blocks
from nngpt.generation.contract.deltas import read_delta
from nngpt.generation.contract.interface import (
    METHODS,
    SUPPORTED,
    check_network,
    find_class,
    read_supported,
)
from nngpt.generation.contract.layers import read_layers, write_layers
from nngpt.generation.contract.safety import check_safety
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Mode, Prompt, Refusal, Stage, Task

LONGEST = 200_000
"""Characters; LEMUR's longest network has 178,375."""

_TRANSFORM_NAMES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "transforms": "torchvision.transforms",
    "v2": "torchvision.transforms.v2",
}


@dataclass(frozen=True)
class Defaults:
    """What holds where an answer says nothing.

    Attributes:
        hyperparameters: a value by name, used for those that the network supports.
        batch: batch size.
        transform: transform name or source.
    """

    hyperparameters: Mapping[str, float]
    batch: int
    transform: str

    @classmethod
    def of(cls, config: EvaluationConfig) -> Defaults:
        """The defaults of a configuration."""
        return cls(config.hyperparameters, config.batch, config.transform)


def read(
    completion_text: str, prompt: Prompt, task: Task, template: Template, defaults: Defaults
) -> Candidate | Refusal:
    """The candidate in a completion (the text after the prefill), or why there is none."""
    text = prompt.prefill + completion_text
    fault = _text_fault(text)
    if fault:
        return Refusal(Stage.PARSE, fault)
    try:
        if prompt.mode is Mode.FEATURES:
            return _read_features(text, prompt, task, template, defaults)
        if prompt.mode is Mode.DELTA:
            return _read_delta(text, prompt, defaults)
        return _read_code(text, prompt, task, template, defaults)
    except (RecursionError, MemoryError):
        return Refusal(Stage.PARSE, "the code is nested too deeply to be read")


def novelty_text(candidate: Candidate) -> str:
    """The code that the LLM itself wrote; a template's share would make all networks alike.

    In `delta` mode the whole changed network: a small change to a known one is not novel.
    """
    if candidate.mode in (Mode.FULL, Mode.DELTA):
        return candidate.code
    if candidate.mode is Mode.BODY:
        return candidate.written.removesuffix("```").rstrip("`\n")
    tree = ast.parse(candidate.code)
    blocks = frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            layers = read_layers(ast.unparse(node), blocks)
            if not isinstance(layers, Refusal):
                text = write_layers(layers)
                if text.endswith(candidate.written):
                    return text
    return candidate.code


def _read_features(
    text: str, prompt: Prompt, task: Task, template: Template, defaults: Defaults
) -> Candidate | Refusal:
    source, end, _ = text.strip().partition("\n)")
    layers = read_layers(source + end, frozenset(block.name for block in prompt.blocks))
    if isinstance(layers, Refusal):
        return layers if end else replace(answers.CUT_OFF, detail=layers.detail)
    code = with_blocks(template.network_code(task, layers=layers), prompt)
    answer = Answer(code, {})
    return _candidate(answer, code, write_layers(layers), prompt, defaults)


def _read_code(
    text: str, prompt: Prompt, task: Task, template: Template, defaults: Defaults
) -> Candidate | Refusal:
    answer = answers.read(text)
    if isinstance(answer, Refusal):
        return answer
    code: str | Refusal = answer.code + "\n"
    if prompt.mode is Mode.BODY:
        code = _around_body(answer.code, task, template)
    if isinstance(code, Refusal):
        return code
    code = (with_blocks if prompt.mode is Mode.BODY else credited)(code, prompt)
    return _candidate(answer, code, answers.write(answer), prompt, defaults)


def _read_delta(text: str, prompt: Prompt, defaults: Defaults) -> Candidate | Refusal:
    delta = read_delta(text.replace("\r\n", "\n").replace("\r", "\n"), prompt)
    if isinstance(delta, Refusal):
        return delta
    parent = delta.parent
    inherited = Defaults(
        {**defaults.hyperparameters, **parent.hyperparameters},
        parent.batch or defaults.batch,
        parent.transform or defaults.transform,
    )
    code = delta.answer.code + "\n"
    return _candidate(delta.answer, code, delta.canonical, prompt, inherited)


def as_parent(candidate: Candidate, defaults: Defaults) -> str:
    """A network as `Prompt.parent` holds it: code, and the settings that are not the defaults."""
    own = candidate.hyperparameters.items() - defaults.hyperparameters.items()
    answer = Answer(
        candidate.code.strip("\n").rstrip(),
        dict(own),
        candidate.batch if candidate.batch != defaults.batch else None,
        candidate.transform if candidate.transform != defaults.transform else None,
    )
    return answers.write(answer)


def _around_body(body: str, task: Task, template: Template) -> str | Refusal:
    """The network file around helpers and a class Net that has __init__ and forward."""
    tree = _parse(body)
    if isinstance(tree, Refusal):
        return tree
    refusal = check_network(tree, ("__init__", "forward"))
    net = find_class(tree, "Net")
    if refusal or net is None:
        return refusal or Refusal(Stage.CONTRACT, "there is no class Net")
    added = {"train_setup", "learn", SUPPORTED}
    for node in [*net.body, *tree.body]:
        if isinstance(node, ast.FunctionDef) and node.name in added:
            reason = f"{node.name} belongs to the template in body mode; the answer has its own"
            return Refusal(Stage.CONTRACT, reason, f"line {node.lineno}")
    lines = body.split("\n")
    end, first = net.end_lineno or len(lines), net.body[0]
    return template.network_code(
        task,
        upto_net="\n".join(lines[:end]),
        after_net="\n".join(lines[end:]).strip("\n"),
        indentation=lines[first.lineno - 1][: first.col_offset],
    )


def _candidate(
    answer: Answer, code: str, canonical: str, prompt: Prompt, defaults: Defaults
) -> Candidate | Refusal:
    tree = _parse(code)
    if isinstance(tree, Refusal):
        return tree
    supported = read_supported(tree)
    if isinstance(supported, Refusal):
        return supported
    values = _values(supported, answer.hyperparameters, defaults.hyperparameters)
    refusal = check_network(tree, tuple(METHODS)) or (
        values if isinstance(values, Refusal) else check_transform(answer.transform)
    )
    refusal = refusal or check_safety(tree)
    if refusal or isinstance(values, Refusal):
        return refusal or Refusal(Stage.CONTRACT, "no hyperparameters")
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


def _values(
    supported: frozenset[str], given: Mapping[str, float], defaults: Mapping[str, float]
) -> dict[str, float] | Refusal:
    """A value for each supported hyperparameter."""
    wanted = sorted(supported - PROTOCOL)
    unknown = sorted(set(given) - supported)
    if unknown:
        reason = f"the answer sets {unknown[0]!r}, which {SUPPORTED}() does not name"
        return Refusal(Stage.CONTRACT, reason, f"It names {', '.join(wanted) or 'nothing'}.")
    missing = [name for name in wanted if name not in given and name not in defaults]
    if missing:
        return Refusal(
            Stage.CONTRACT,
            f"the hyperparameter {missing[0]!r} has no value",
            f"{SUPPORTED}() names it, but neither the answer nor "
            "evaluation.hyperparameters gives a value.",
        )
    return {name: float(given.get(name, defaults.get(name, 0.0))) for name in wanted}


def check_transform(text: str | None) -> Refusal | None:
    """None if the transform is a known name, or safe source that defines `transform`."""
    if text is None or transform_names.spec(text) is not None:
        return None
    tree = _parse(text)
    if isinstance(tree, Refusal) or "transform" not in _defined(tree):
        hint = nearest(text[:60], transform_names.names())
        return Refusal(Stage.CONTRACT, f"unknown transform {text[:60]!r}", hint)
    refusal = check_safety(tree, _TRANSFORM_NAMES)
    return replace(refusal, reason=f"the transform {refusal.reason}") if refusal else None


def _defined(tree: ast.Module) -> set[str]:
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    targets = [t for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    return names | {target.id for target in targets if isinstance(target, ast.Name)}


def _parse(source: str) -> ast.Module | Refusal:
    """The syntax tree, if Python would also compile it (a stray `return` parses, but no more)."""
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


def _text_fault(text: str) -> str:
    if len(text) > LONGEST:
        return f"the answer has {len(text):,} characters; at most {LONGEST:,} are read"
    if "\0" in text:
        return "the answer is not text: it contains NUL bytes"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the answer is not text: it contains lone surrogates"
    return ""
