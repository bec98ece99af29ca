"""Bad command lines for every command: made from the commands' own options, and from bad files.

A new command or option is included by itself: its type says which values are bad.
"""

from __future__ import annotations

import hashlib
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import bad_files as bad
import typer
from bad_files import Write

from nngpt.cli.main import app

BAD = "bad"
"""Stands for the bad file in the arguments of a line, and begins its name."""


@dataclass(frozen=True)
class Line:
    """A bad command line, and the bad file that it names, if any."""

    command: str
    fault: str
    arguments: tuple[str, ...]
    name: str = ""
    write: Write | None = None

    @property
    def id(self) -> str:
        return f"{self.command}: {self.fault}"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a command; `flag` is "" for an argument."""

    name: str
    kind: type
    flag: str
    required: bool
    low: float | None
    high: float | None

    def given(self, value: str) -> list[str]:
        """Return the words that give this value, which may begin with a hyphen."""
        return [f"{self.flag}={value}"] if self.flag else [value]


GOOD: Mapping[str, str] = {
    **{"config": "good.yaml", "grid": "grid.yaml", "file": "good.py", "files": "good.py"},
    **{"dataset": "mnist", "attempt": "1", "adapter": bad.ADAPTER, "out": "new", "name": "mnist"},
    **{"path": "part.whl", "corpus": "good.jsonl", "arm": "base", "places": "library"},
    **{"source": "library", "question": "block", "target": "new", "data": "mnist"},
}
"""A good value of each required parameter, by its name."""

FREE = frozenset(
    [
        "question",
        "family_threshold",
        "best_on",
        "transform",
        "task",
        "metric",
        "base",
        "base_name",
        "name",
        "nn",
        "family",
        "dataset",
        "content_hash",
        "networks",
        "prm",
        "run",
        "source",
        "prompt",
        "acc",
        "list_to",
        "columns",
        "places",
        "paths",
        "explain",
    ]
)
"""Names of texts of which (almost) any is good; bad ones of some are in `LINES`."""

INPUTS: Mapping[str, tuple[str, Mapping[str, Write]]] = {
    "config": (".yaml", {**bad.ANY, **bad.YAML}),
    "grid": (".yaml", {**bad.ANY, **bad.YAML, **bad.GRIDS}),
    "corpus": (".jsonl", {**bad.ANY, **bad.JSONL}),
    "dev": (".jsonl", {**bad.ANY, **bad.JSONL}),
    "file": (".py", {**bad.ANY, **bad.PYTHON}),
    "files": (".py", {k: bad.ANY[k] for k in bad.ANY if k != "a pipe"}),  # an empty network
    "predictor": (".zip", {**bad.ANY, **bad.PREDICTORS}),
    "surrogate": (".zip", {**bad.ANY, **bad.SURROGATES}),
    "adapter": ("", bad.ADAPTERS),
    "from_adapter": ("", bad.ADAPTERS),
    "path": ("", {**bad.ANY, **bad.LEMUR}),
    "root": ("", bad.ROOTS),
    "folder": ("", bad.DATABASES),
    "targets": ("", bad.ANY),
}
"""Suffix and kinds of the bad files that a parameter of this name may be given."""

COMPLETE = {
    "config": "cycle run",
    "grid": "experiment compare",
    "adapter": "models export",
    "from_adapter": "learn rl",
    "folder": "cycle status",
    "corpus": "learn sft",
    "file": "predict",
    "predictor": "predict",
}
"""Where a parameter of this name is given every bad file; elsewhere it is given three."""

WRITES = frozenset({"lemur pull", "lemur import", "rag index", "search"})
"""Commands whose --folder may be new."""

TEXTS = {
    "5,000 letters": "a" * 5000,
    "escape bytes": "\x1b[31mno\x1b[0m",
    "no UTF-8": "\udcff\udcfe",
    "empty": "",
}
WHOLE = {
    "a word": "x",
    "empty": "",
    "30 digits": "9" * 30,
    "5,000 digits": "9" * 5000,
    "minus 30 digits": "-" + "9" * 30,
    "a fraction": "1.5",
}
FRACTIONS = {
    **{"a word": "x", "empty": "", "5,000 digits": "9" * 5000},
    **{"NaN": "nan", "infinite": "inf", "overflowing": "1e999"},
}
PATHS = {
    "a name too long": "a" * 300,
    "a path too long": "a/" * 3000,
    "below a file": "taken/below",
    "below /proc": "/proc/none/x",
}
SETTINGS: Mapping[str, str] = {
    "no equals sign": "cycles",
    "no key": "=1",
    "an empty part": "task..dataset=mnist",
    "no section": "cycles.x=1",
    "not YAML": "cycles=[1",
    "a list for a number": "cycles=[1]",
    "an impossible date": "seed=2020-13-45",
    "a date for a number": "seed=2020-01-01",
    "5,000 digits": f"seed={'9' * 5000}",
    "30 digits": f"cycles={'9' * 30}",
    "a number too large": "seed=1e30",
    "not a number": "task.threshold=.nan",
    "infinite": "evaluation.wall_s=.inf",
    "nested deeply": f"name={'[' * 5000}",
    "an alias of itself": "name=&a [*a]",
    "a tag": 'name=!!python/name:os.system ""',
    "NUL in a path": 'folder="a\\0b"',
    "escape bytes": "name=\x1b[31mred",
    "a key of 5,000 letters": f"{'k' * 5000}=1",
    "a data set that is a list": "task.dataset=[1]",
    "layers without end": "learning.layers_to_transform=0-99999999999",
    "options that are a list": "llm.options=[1]",
    "an unknown hyperparameter's type": "evaluation.hyperparameters={lr: [1]}",
}
"""Bad values of `--set` for every command."""

RUN_SETTINGS: Mapping[str, str] = {
    "a folder too long": f"folder={'a' * 300}",
    "a path too long": f"folder={'a/' * 3000}",
    "a folder below a file": "folder=taken/below",
    "a data set that is a path": "task.dataset=./library",
    "a data set that is an absolute path": "task.dataset=/tmp",
    "a module with an empty part": "task.dataset=a..b",
    "a module that is none": "task.dataset=no.such.module",
    "a module without create": "task.dataset=os.path",
    "a backend that is a path": "llm.backend=../x",
    "a measure that is empty": 'novelty.measure=""',
    "a template too long": f"prompt.template={'a' * 300}",
    "a template that is a folder": "prompt.template=./library",
    "a script that is a folder": "llm.options.script=library",
    "a corpus that is missing": "learning.corpus=none.jsonl",
    "parents of an unknown source": "prompt.parents={nobody: 1}",
    "a learner that needs the last adapter": "learning.learner=grpo",
    "a root that is a file": "task.dataset=image-folder",
}
"""Bad values of `--set` for `cycle run`, which uses every setting."""

_SET_FILES: Mapping[str, tuple[str, Mapping[str, Write]]] = {
    "llm.options.script": (".jsonl", {**bad.ANY, **bad.JSONL}),
    "learning.corpus": (".jsonl", {**bad.ANY, **bad.JSONL}),
    "prompt.template": (".yaml", {**bad.ANY, **bad.YAML}),
    "llm.adapter": ("", bad.ADAPTERS),
}

LINES: Sequence[tuple[str, str, Sequence[str]]] = (
    ("evaluate", "too little memory", ("good.py", "--set", "evaluation.memory_mb=1")),
    ("evaluate", "100,000 threads", ("good.py", "--set", "evaluation.threads=100000")),
    ("evaluate", "an unknown class", ("good.py", "--class", "Nett")),
    ("evaluate", "an unknown argument", ("good.py", "--init", "depth={layers}")),
    ("rag search", "without an index", ("block", "--folder", "library")),
    ("rag show", "an unknown block", ("no.such.Block",)),
    ("predict", "a setting without a value", ("good.py", "--dataset", "mnist", "--prm", "lr")),
    ("predict", "a setting that is NaN", ("good.py", "--dataset", "mnist", "--prm", "lr=nan")),
    ("lemur query", "an unknown column", ("--columns", "no")),
    ("lemur query", "an unknown network", ("--nn", "no")),
    ("corpus build", "shares", ("--out", "new", "--splits", "1,2,3")),
    ("models path", "a path", ("/etc/passwd",)),
    ("learn compare", "an arm without a folder", ("good.yaml", "--out", "new", "--arm", "a=none")),
)
"""Further bad lines: command, fault, arguments."""


def commands() -> dict[str, Callable[..., Any]]:
    """Return the function of each command, by its words."""
    found: dict[str, Callable[..., Any]] = {}

    def walk(group: typer.Typer, words: tuple[str, ...]) -> None:
        for one in group.registered_commands:
            assert one.callback is not None
            name = one.name or one.callback.__name__.replace("_", "-")
            if not one.hidden:
                found[" ".join((*words, name))] = one.callback
        for inner in group.registered_groups:
            assert inner.typer_instance is not None and inner.name is not None
            walk(inner.typer_instance, (*words, inner.name))

    walk(app, ())
    return found


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return a command's parameters."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [
        _parameter(name, hints[name], one.default is inspect.Parameter.empty)
        for name, one in inspect.signature(function).parameters.items()
    ]


def _parameter(name: str, hint: Any, required: bool) -> Parameter:
    kind, info = typing.get_args(hint)
    while typing.get_args(kind):  # Optional, list, tuple
        inner = [one for one in typing.get_args(kind) if one is not NoneType]
        kind = inner[0]
    assert not isinstance(kind, UnionType)
    declared = [info.default, *(info.param_decls or ())]  # Typer takes the first for a default
    flags = [one for one in declared if isinstance(one, str) and one.startswith("--")]
    option = type(info).__name__ == "OptionInfo"
    flag = (flags or [f"--{name.replace('_', '-')}"])[0].partition("/")[0] if option else ""
    return Parameter(name, kind, flag, required, info.min, info.max)


def lines() -> Iterator[Line]:
    """Yield every bad command line."""
    for command, function in commands().items():
        known = parameters(function)
        yield _line(command, known, "an unknown option", ["--no-such-option"])
        yield _line(command, known, "an unknown option with a value", [f"--{'x' * 5000}=1"])
        for one in known:
            for fault, value in _values(command, one):
                fault = f"{one.flag or one.name}: {fault}"
                yield _line(command, known, fault, one.given(value), one.name)
            yield from _file_lines(command, known, one)
        if any(one.name == "overrides" for one in known):
            whole = {**SETTINGS, **RUN_SETTINGS}
            for fault in whole if command == "cycle run" else _some(SETTINGS, command, 3):
                yield _line(command, known, f"--set: {fault}", ["--set", whole[fault]])
    for key, (suffix, kinds) in _SET_FILES.items():
        for fault, write in kinds.items():
            words = ("cycle", "run", "good.yaml", "--set", f"{key}={BAD}{suffix}")
            yield Line("cycle run", f"{key}: {fault}", words, BAD + suffix, write)
    for fault, write in bad.PREDICTORS.items():
        words = ("evaluate", "good.py", "--set", f"evaluation.predictor={BAD}.zip")
        words += ("--set", "evaluation.early_stop=true", "--set", "evaluation.epochs=3")
        yield Line("evaluate", f"evaluation.predictor: {fault}", words, f"{BAD}.zip", write)
    for fault, write in bad.GZIP.items():
        words = ("learn", "sft", "--config", "good.yaml", "--corpus", f"{BAD}.jsonl.gz")
        yield Line("learn sft", f"--corpus, compressed: {fault}", words, f"{BAD}.jsonl.gz", write)
    for name, write in bad.LIBRARIES.items():
        yield Line(
            "rag index", f"{name}", ("rag", "index", f"./{BAD}-{name}"), f"{BAD}-{name}", write
        )
    for fault, write in bad.FOLDS.items():
        words = ("hpo", "bench", "--folds", f"{BAD}.json")
        yield Line("hpo bench", f"--folds: {fault}", words, f"{BAD}.json", write)
    for command, fault, rest in LINES:
        yield Line(command, fault, (*command.split(), *rest))


def _line(
    command: str, known: Sequence[Parameter], fault: str, words: Sequence[str], name: str = ""
) -> Line:
    """Return a line with good values for all other parameters that must be given."""
    good: list[str] = []
    for one in known:
        if one.required and one.name != name:
            good += one.given(_good(command, one))
    if any(one.name == "config" and one.flag for one in known) and name != "config":
        good += ["--config", GOOD["config"]]
    return Line(command, fault, (*command.split(), *good, *words))


def _good(command: str, one: Parameter) -> str:
    if command.startswith("models "):
        return "smollm2-135m" if one.name == "name" else GOOD[one.name]
    if command.startswith("rag ") and one.name == "target":
        return "library:blocks.Block"
    return GOOD.get(one.name, "x")


def _values(command: str, one: Parameter) -> Iterator[tuple[str, str]]:
    """Yield the faults and the bad values of a parameter."""
    salt = f"{command} {one.name}"
    if one.kind is bool:
        if one.name == "as_json":
            yield "a flag with a value", "3"
    elif one.kind in (int, float):
        bad = WHOLE if one.kind is int else FRACTIONS
        yield from _some(bad, salt, 3).items()
        if one.low is not None:
            yield "too small", str(one.low - 1)
        if one.high is not None:
            yield "too large", str(one.high + 1)
    elif one.name == "overrides":
        yield from _some(TEXTS, salt, 1).items()
    elif one.kind is Path:
        yield from _some(PATHS, salt, 2).items()
        if one.name in INPUTS and not (one.name == "folder" and command in WRITES):
            yield "missing", "none"
    elif one.name not in FREE:
        yield from _some(TEXTS, salt, 2).items()


def _some(items: Mapping[str, Any], salt: str, count: int) -> dict[str, Any]:
    """Return some of the items, others for another `salt`."""
    start = int.from_bytes(hashlib.md5(salt.encode()).digest()[:4], "big")
    names = list(items)
    chosen = sorted(range(len(names)), key=lambda n: (n * 7 + start) % len(names))[:count]
    return {names[number]: items[names[number]] for number in sorted(chosen)}


def _file_lines(command: str, known: Sequence[Parameter], one: Parameter) -> Iterator[Line]:
    if one.name not in INPUTS or (one.name == "folder" and command in WRITES):
        return
    suffix, kinds = INPUTS[one.name]
    whole = COMPLETE.get(one.name, command) == command
    for fault in _some(kinds, f"{command} {one.name}", 99 if whole else 3):
        line = _line(
            command, known, f"{one.flag or one.name}: {fault}", one.given(BAD + suffix), one.name
        )
        yield Line(line.command, line.fault, line.arguments, BAD + suffix, kinds[fault])
