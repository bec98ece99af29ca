"""From a network of the mirror to the answer that the LLM should have written."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from nngpt.data import transform_names
from nngpt.finetuning.corpus.bodies import extract_body
from nngpt.finetuning.corpus.compact import compact
from nngpt.finetuning.corpus.layers import extract_layers
from nngpt.finetuning.corpus.mirror import Recorded, Trial
from nngpt.finetuning.corpus.widths import narrowed
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer as WholeAnswer
from nngpt.generation.contract.answers import Hyperparameters, write
from nngpt.generation.contract.interface import read_supported
from nngpt.generation.contract.layers import write_layers
from nngpt.generation.models.chat import cut
from nngpt.generation.prompts import template as prompts
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Mode, Prompt, Refusal, Stage, Task
from nngpt.store.lemur_rows import LEMUR_DATASETS

_DIGITS = 3
"""Recorded values were drawn at random; more digits would teach nothing but digits."""

_DROPOUT = 0.2
"""In a layer list, where neither a trial nor the defaults give one."""

_CHARACTERS_PER_TOKEN = {Mode.FULL: 3.2, Mode.BODY: 3.2, Mode.FEATURES: 2.2}
_MOST_TOKENS = {Mode.FEATURES: 260}


@dataclass(frozen=True)
class Asked:
    """A prompt of the corpus: one for all tasks that it does not tell apart.

    Attributes:
        prompt: the template filled in.
        task: the first task it was filled in for.
        names: the data sets of all of them.
    """

    prompt: Prompt
    task: Task
    names: tuple[str, ...]

    def reads_like(self, other: Asked) -> bool:
        """True if the contract reads an answer to both prompts the same way."""
        return self.prompt.mode is Mode.FULL and self.prompt.prefill == other.prompt.prefill


@dataclass(frozen=True)
class Answer:
    """A network as the answer to one prompt.

    Attributes:
        candidate: what the contract reads in the answer.
        trial: the trial whose settings and accuracy go with it, None if there is none.
    """

    asked: Asked = field(repr=False)
    candidate: Candidate
    trial: Trial | None

    @property
    def completion(self) -> str:
        """The text that the LLM should write: canonical, after the prefill."""
        return self.candidate.written


@dataclass(frozen=True)
class Answered:
    """A network with its answers to all prompts, at least one."""

    network: Recorded
    answers: tuple[Answer, ...]

    @property
    def longest(self) -> int:
        """Characters of the longest completion."""
        return max(len(answer.completion) for answer in self.answers)

    @property
    def novelty_text(self) -> str:
        """What the LLM would write itself; likenesses are measured on it."""
        return contract.novelty_text(self.answers[0].candidate)


class Writer:
    """Writes networks of the mirror as answers to a template's prompts.

    Attributes:
        template: what is asked.
        asked: the prompts for all tasks, each once.
        defaults: values for what an answer leaves out.
        compact: write shorter networks that do the same: without comments and annotations, in
            `full` mode with the training half of `body` mode's template and without settings, in
            `features` mode narrowed to the tasks' parameter budget.
    """

    def __init__(
        self,
        template: Template,
        tasks: Sequence[Task],
        defaults: contract.Defaults,
        compact: bool = False,
    ) -> None:
        self.template, self.defaults, self.compact = template, defaults, compact
        self._tasks = tasks
        self._half = prompts.load("body") if compact and template.mode is Mode.FULL else None
        self.asked = _asked(template, tasks, defaults.hyperparameters)

    def answer(self, network: Recorded) -> Answered | Refusal:
        """The network as an answer to every prompt, or why the contract does not take it."""
        answers: list[Answer] = []
        for asked in self.asked:
            trial = _trial(network, asked.names)
            if answers and trial == answers[0].trial and asked.reads_like(answers[0].asked):
                answers.append(replace(answers[0], asked=asked))
                continue
            candidate = self._candidate(network, asked, trial)
            if isinstance(candidate, Refusal):
                return candidate
            answers.append(Answer(asked, candidate, trial))
        return Answered(network, tuple(answers))

    def _candidate(
        self, network: Recorded, asked: Asked, trial: Trial | None
    ) -> Candidate | Refusal:
        prompt = asked.prompt
        try:
            text = self._text(network, trial)
        except (RecursionError, MemoryError):
            return Refusal(Stage.PARSE, "the code is nested too deeply to be read")
        if isinstance(text, Refusal):
            return text
        if not text.startswith(prompt.prefill):
            return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
        text = text.removeprefix(prompt.prefill)
        read = contract.read(text, prompt, asked.task, self.template, self.defaults)
        if isinstance(read, Candidate) and cut(read.written, prompt.stop)[0] != read.written:
            return Refusal(Stage.PARSE, "the prompt's stop string would cut the answer off")
        return read

    def _text(self, network: Recorded, trial: Trial | None) -> str | Refusal:
        """The whole answer, before the contract has seen it."""
        settings = trial.settings if trial else {}
        hyperparameters = self.defaults.hyperparameters
        if self.template.mode is Mode.FULL and self._half is None:
            return write(_with_settings(network.code, settings))
        if self.template.mode in (Mode.FULL, Mode.BODY):
            body = self._body(network.code)
            if isinstance(body, Refusal) or self._half is None:
                return body
            asked = self._half.render(self._tasks[0], hyperparameters)
            rest = body.removeprefix(asked.prefill)
            whole = contract.read(rest, asked, self._tasks[0], self._half, self.defaults)
            return whole if isinstance(whole, Refusal) else _fenced(whole.code)
        recorded = numbers(settings, frozenset({"dropout"}))
        dropout = recorded.get("dropout", hyperparameters.get("dropout", _DROPOUT))
        layers = extract_layers(network.code, dropout)
        if isinstance(layers, Refusal):
            return layers
        return write_layers(narrowed(layers, self._tasks) if self.compact else layers)

    def _body(self, code: str) -> str | Refusal:
        """The answer of `body` mode."""
        body = extract_body(code, frozenset(self.defaults.hyperparameters))
        if self.compact and isinstance(body, str):
            body = compact(body)
        return body if isinstance(body, Refusal) else _fenced(body)


def _fenced(code: str) -> str:
    return write(WholeAnswer(code.strip("\n").rstrip(), {}))


def longest_answer(mode: Mode, max_new_tokens: int) -> int:
    """Characters that an LLM can write in so many tokens; longer answers would teach to be cut off.

    Measured on LEMUR's networks with SmolLM2's tokenizer; layer lists are mostly digits and signs.
    """
    tokens = min(max_new_tokens, _MOST_TOKENS.get(mode, max_new_tokens))
    return int(tokens * _CHARACTERS_PER_TOKEN[mode])


def numbers(settings: Mapping[str, Any], names: frozenset[str]) -> dict[str, float]:
    """The recorded values of these hyperparameters that are within the contract's ranges."""
    found = {}
    for name in sorted(names & settings.keys()):
        value = settings[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            rounded = float(f"{value:.{_DIGITS}g}")
            if _allowed(name, rounded):
                found[name] = rounded
    return found


def _with_settings(code: str, settings: Mapping[str, Any]) -> WholeAnswer:
    """The answer of `full` mode, with what was recorded for the best trial."""
    batch, transform = settings.get("batch"), settings.get("transform")
    return WholeAnswer(
        code.strip("\n").rstrip(),
        numbers(settings, _supported(code)),
        batch if isinstance(batch, int) and _allowed("batch", batch) else None,
        _named(transform) if isinstance(transform, str) else None,
    )


def _named(transform: str) -> str | None:
    """The transform as prompts write it, None if only LEMUR has it."""
    return transform.replace("_", "-") if transform_names.spec(transform) else None


def _supported(code: str) -> frozenset[str]:
    """What the network says it supports; nothing if that cannot be read (the contract says why)."""
    try:
        names = read_supported(ast.parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    protocol = frozenset({"batch", "epoch", "transform"})
    return frozenset() if isinstance(names, Refusal) else names - protocol


def _allowed(name: str, value: float) -> bool:
    try:
        Hyperparameters.model_validate({name: value})
    except ValidationError:
        return False
    return True


def _asked(
    template: Template, tasks: Sequence[Task], hyperparameters: Mapping[str, float]
) -> tuple[Asked, ...]:
    found: dict[Prompt, list[Task]] = {}
    for task in tasks:
        found.setdefault(template.render(task, hyperparameters), []).append(task)
    return tuple(
        Asked(prompt, same[0], tuple(task.dataset for task in same))
        for prompt, same in found.items()
    )


def _trial(network: Recorded, names: Sequence[str]) -> Trial | None:
    """The best trial on the first of these data sets that has one, else on any data set."""
    own = (network.best(LEMUR_DATASETS.get(name, name)) for name in names)
    return next((trial for trial in own if trial is not None), network.best())
