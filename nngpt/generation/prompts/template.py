"""Prompt templates: load a YAML file of `prompts/` and render it as the prompt for a task.

A template holds the messages, the examples, the beginning and end of the answer, and (except in
`full` mode) a Jinja2 network file that completes the answer to a network.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from nngpt import config, files
from nngpt.data import transform_names
from nngpt.errors import ConfigError, PluginError, explain, nearest
from nngpt.generation import modes
from nngpt.records import Message, Prompt, ShownBlock, Task, canonical_json

_JINJA = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
)


class Example(BaseModel):
    """One example turn of a prompt template's chat.

    Attributes:
        user: the question, "" for the template's own.
        assistant: the whole answer, prefill included.
        parent: in a mode that changes a parent, the network that the answer changes, as an answer
            of `full` mode; else "".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: str = ""
    assistant: str
    parent: str = ""


class _File(BaseModel):
    """The keys of a template file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    user: str
    system: str = ""
    examples: tuple[Example, ...] = ()
    prefill: str = ""
    stop: tuple[str, ...] = ()
    network: str | None = None

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, name: str) -> str:
        """Check that the mode can be loaded."""
        try:
            modes.load(name)
        except PluginError as error:
            raise ValueError(f"{error.what}. {error.hint}".rstrip(" .") + ".") from None
        return name

    @model_validator(mode="after")
    def _fits_mode(self) -> _File:
        """Check that network file and parents are given exactly where the mode needs them."""
        mode = modes.load(self.mode)
        if (self.network is not None) != mode.network_file:
            needs = "needs" if mode.network_file else "has no use for"
            raise ValueError(f"mode {self.mode!r} {needs} a 'network' file")
        if any(bool(example.parent) != mode.changes_parent for example in self.examples):
            need = "each need" if mode.changes_parent else "have no use for"
            raise ValueError(f"examples of mode {self.mode!r} {need} a 'parent'")
        return self


@dataclass(frozen=True)
class Template:
    """A prompt template that has been checked.

    Attributes:
        name: file name without `.yaml`.
        mode: name of the prompt mode.
        system: system message (Jinja2), "" for none.
        user: user message (Jinja2).
        examples: turns before the question; their answers are not rendered.
        prefill: beginning of the answer.
        stop: strings that end the answer.
        network: Jinja2 source of the network file around the answer, "" in `full` mode; in `delta`
            mode the network that is changed as long as no other is known.
    """

    name: str
    mode: str
    system: str
    user: str
    examples: tuple[Example, ...]
    prefill: str
    stop: tuple[str, ...]
    network: str

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the template without its name."""
        turns = [[e.user, e.assistant, *([e.parent] if e.parent else [])] for e in self.examples]
        made_of = [self.mode, self.system, self.user, turns, self.prefill, self.stop, self.network]
        return hashlib.sha256(canonical_json(made_of).encode()).hexdigest()[:16]

    def render(
        self,
        task: Task,
        hyperparameters: Mapping[str, float],
        examples: Sequence[Example] | None = None,
        parent: str = "",
        blocks: Sequence[ShownBlock] = (),
    ) -> Prompt:
        """Render the template: return the prompt for a task.

        Args:
            hyperparameters: default values by name, which templates may name.
            examples: examples to show, None for the template's own.
            parent: network to change, as an answer of `full` mode; "" for the template's own.

        Raises: ConfigError if the template uses an unknown variable.
        """
        shown = self.examples if examples is None else examples
        variables = self._variables(task) | {"hyperparameters": dict(hyperparameters)}
        variables["examples"] = [example.assistant.strip() for example in shown]
        if modes.load(self.mode).changes_parent:
            parent = parent or self.own_parent(task)
        turns = [("system", self._fill(self.system, variables))] if self.system else []
        for example in shown:
            question = {"parent": example.parent.strip()} if parent else {}
            turns.append(("user", self._fill(example.user or self.user, variables | question)))
            turns.append(("assistant", example.assistant.strip()))
        question = {"parent": parent} if parent else {}
        asked = self._fill(self.user, variables | question)
        turns.append(("user", f"{self._block_text(blocks)}{asked}"))
        return Prompt(
            template=self.name,
            template_hash=self.hash,
            mode=self.mode,
            messages=tuple(Message(role, text) for role, text in turns),
            prefill=self.prefill,
            stop=self.stop,
            parent=parent,
            blocks=tuple(blocks),
        )

    def _block_text(self, blocks: Sequence[ShownBlock]) -> str:
        """Return library blocks as the first part of the question, "" for none."""
        if not blocks:
            return ""
        given = modes.load(self.mode).defines_blocks
        header = "These blocks are defined already:" if given else "Blocks that you may copy:"
        codes = "\n\n".join(_uncommented(block.code) for block in blocks)
        return f"{header}\n\n```python\n{codes}\n```\n\n"

    def own_parent(self, task: Task) -> str:
        """Return the template's own network as an answer of `full` mode (for `delta` mode)."""
        return f"```python\n{self.network_code(task).strip()}\n```"

    def network_code(self, task: Task, **answer: object) -> str:
        """Return the network file around an answer. Raises: ConfigError if that is impossible."""
        return self._fill(self.network, self._variables(task) | answer) + "\n"

    def _variables(self, task: Task) -> dict[str, Any]:
        """Return the variables that every part of a template may use."""
        _, channels, height, width = task.in_shape
        return {
            "dataset": task.dataset,
            "classes": task.out_shape[0],
            "channels": channels,
            "height": height,
            "width": width,
            "in_shape": task.in_shape,
            "out_shape": task.out_shape,
            "max_parameters": task.max_parameters,
            "transforms": transform_names.names(),
            "examples": [example.assistant.strip() for example in self.examples],
        }

    def _fill(self, source: str, variables: Mapping[str, Any]) -> str:
        """Render Jinja2 source. Raises: ConfigError if it cannot be rendered."""
        try:
            return _compiled(source).render(variables).strip()
        except jinja2.UndefinedError as error:
            known = ", ".join(sorted(variables))
            raise ConfigError(str(error), where=self.name, hint=f"Known: {known}") from None
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"cannot be filled in: {error}", where=self.name) from None


@functools.cache
def _compiled(source: str) -> jinja2.Template:
    """Compile a template's text; cached, since every answer that is read uses the same few."""
    return _JINJA.from_string(source)


def _uncommented(code: str) -> str:
    """Return a block's file without its header of comments about origin and licence."""
    lines = code.splitlines()
    first = next((n for n, line in enumerate(lines) if not line.startswith("#")), 0)
    return "\n".join(lines[first:]).strip("\n")


def asking(prompt: Prompt, question: str) -> Prompt:
    """Return a rendered prompt with another question as its last message."""
    *before, last = prompt.messages
    return replace(prompt, messages=(*before, replace(last, content=question)))


def load(name_or_path: str | Path) -> Template:
    """Load the prompt template of a name under `prompts/`, or of a path.

    Raises: ConfigError if the file or its network file is missing, is not YAML or Jinja2, or a
    key or value is wrong; one message lists all mistakes.
    """
    path = _find(str(name_or_path))
    try:
        file = _File.model_validate(config.read_yaml(path, "prompts", "no such prompt template"))
    except ValidationError as error:
        raise ConfigError(explain(error, _File), where=str(path)) from None
    network = _read_network(path, file.network) if file.network else ""
    template = Template(name=path.stem, **{**dict(file), "network": network})
    _check_syntax(template, path)
    return template


def names() -> list[str]:
    """Return the sorted names of the prompt templates that come with nngpt."""
    return sorted(file.stem for file in config.resource_folder("prompts").glob("*.yaml"))


def _find(name: str) -> Path:
    """Return the path of a template given by name or path."""
    given = Path(name)
    is_path = given.suffix in (".yaml", ".yml") or given.parent != Path()
    return given if is_path else config.resource_folder("prompts") / f"{name}.yaml"


def _read_network(path: Path, name: str) -> str:
    """Read the network file from beside the template, or from the ones that come with nngpt."""
    folder = config.resource_folder("prompts")
    found = next((f for f in (path.parent / name, folder / name) if f.is_file()), None)
    if found is None:
        known = [str(file.relative_to(folder)) for file in folder.glob("networks/*")]
        raise ConfigError(f"no network file {name!r}", where=str(path), hint=nearest(name, known))
    return files.read_text(found, error=ConfigError)


def _check_syntax(template: Template, path: Path) -> None:
    """Raise ConfigError if a part of the template is not valid Jinja2."""
    sources = [template.system, template.user, template.network]
    for source in [*sources, *(example.user for example in template.examples)]:
        try:
            _JINJA.parse(source)
        except jinja2.TemplateSyntaxError as error:
            fault = f"not valid Jinja2: {error.message} in {source.strip()[:40]!r}"
            raise ConfigError(fault, where=str(path)) from None
