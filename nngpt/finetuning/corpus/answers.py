"""Write a LEMUR network as the answers that an LLM should give to a template's prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from nngpt.data import transform_names
from nngpt.finetuning.corpus.bodies import extract_body, parse_network, strip_comments
from nngpt.finetuning.corpus.layers import extract_layers, narrow_to_budget
from nngpt.finetuning.corpus.lemur_networks import BestTrial, LemurNetwork
from nngpt.generation import contract
from nngpt.generation.contract.answers import Answer, Hyperparameters, write
from nngpt.generation.contract.interface import read_supported
from nngpt.generation.contract.layer_list import write_layers
from nngpt.generation.models.chat import cut
from nngpt.generation.prompts import template as prompts
from nngpt.generation.prompts.template import Template
from nngpt.records import Candidate, Prompt, Refusal, Stage, Task
from nngpt.store.lemur_rows import LEMUR_DATASETS

_DROPOUT = 0.2
"""Dropout of a layer list if neither a trial nor the defaults give one."""

_DIGITS = 3
"""Significant digits of recorded values: they were drawn at random, so more would teach nothing."""

CHARACTERS_PER_TOKEN = {"full": 3.2, "body": 3.2, "features": 2.2, "delta": 3.2}
_MAX_TOKENS = {"features": 260}


@dataclass(frozen=True)
class CorpusPrompt:
    """A prompt of the corpus, shared by all tasks for which the template gives the same text.

    Attributes:
        prompt: the rendered template.
        task: the first task that it was rendered for.
        datasets: data sets of all tasks that share it.
    """

    prompt: Prompt
    task: Task
    datasets: tuple[str, ...]

    def reads_like(self, other: CorpusPrompt) -> bool:
        """Return True if the contract reads an answer to both prompts the same way."""
        return self.prompt.mode == "full" and self.prompt.prefill == other.prompt.prefill


@dataclass(frozen=True)
class NetworkAnswer:
    """A network as the answer to one prompt.

    Attributes:
        candidate: the network that the contract reads in the answer.
        trial: trial whose settings and accuracy belong to the answer; None without a trial.
        changed: name and best trial of the network that the answer changes; None for none.
    """

    prompt: CorpusPrompt = field(repr=False)
    candidate: Candidate
    trial: BestTrial | None
    changed: tuple[str, BestTrial] | None = None

    @property
    def completion(self) -> str:
        """Canonical text that the LLM should write after the prefill."""
        return self.candidate.written


@dataclass(frozen=True)
class AnsweredNetwork:
    """A LEMUR network with its answers to all prompts, at least one."""

    network: LemurNetwork
    answers: tuple[NetworkAnswer, ...]

    @property
    def longest(self) -> int:
        """Number of characters of the longest completion."""
        return max(len(answer.completion) for answer in self.answers)

    @property
    def novelty_text(self) -> str:
        """Text on which networks are compared: the part that the LLM would write itself."""
        return contract.novelty_text(self.answers[0].candidate)


class AnswerWriter:
    """Writes LEMUR networks as answers to a template's prompts.

    Attributes:
        prompts: the different prompts for all tasks.
        defaults: values for settings that an answer leaves out.
        asked: the template of the corpus's prompts.
        compact: write shorter networks that compute the same: without comments and annotations, in
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
        self.template, self.tasks, self.asked = template, tasks, template
        self.defaults, self.compact = defaults, compact
        whole_files = compact and template.mode == "full"
        self._body_template = prompts.load("body") if whole_files else None
        self.prompts = _distinct_prompts(template, tasks, defaults.hyperparameters)

    def answer(self, network: LemurNetwork) -> AnsweredNetwork | Refusal:
        """Return the network with its answers to all prompts, or why the contract refuses it."""
        answers: list[NetworkAnswer] = []
        for prompt in self.prompts:
            trial = _trial_for(network, prompt.datasets)
            if answers and trial == answers[0].trial and prompt.reads_like(answers[0].prompt):
                answers.append(replace(answers[0], prompt=prompt))
                continue
            candidate = self._candidate(network, prompt, trial)
            if isinstance(candidate, Refusal):
                return candidate
            answers.append(NetworkAnswer(prompt, candidate, trial))
        return AnsweredNetwork(network, tuple(answers))

    def max_chars(self, max_new_tokens: int) -> int:
        """Return the number of characters that an LLM can write in `max_new_tokens` tokens.

        Longer answers would teach the LLM to be cut off. Measured on LEMUR with the
        tokenizer of SmolLM2; layer lists consist mostly of digits and signs.
        """
        mode = self.asked.mode
        tokens = min(max_new_tokens, _MAX_TOKENS.get(mode, max_new_tokens))
        return int(tokens * CHARACTERS_PER_TOKEN[mode])

    def _candidate(
        self, network: LemurNetwork, asked: CorpusPrompt, trial: BestTrial | None
    ) -> Candidate | Refusal:
        """Write the answer and return what the contract reads in it."""
        try:
            text = self._text(network, trial)
        except (RecursionError, MemoryError):
            return Refusal(Stage.PARSE, "the code is nested too deeply to be read")
        if isinstance(text, Refusal):
            return text
        return self._read(text, asked.prompt, asked.task, self.template)

    def _read(
        self, text: str, prompt: Prompt, task: Task, template: Template
    ) -> Candidate | Refusal:
        """Return what the contract reads in a whole answer that a run could have asked for."""
        if not text.startswith(prompt.prefill):
            return Refusal(Stage.PARSE, "the answer does not begin as the prompt asks")
        text = text.removeprefix(prompt.prefill)
        read = contract.read(text, prompt, task, template, self.defaults)
        if isinstance(read, Candidate) and cut(read.written, prompt.stop)[0] != read.written:
            return Refusal(Stage.PARSE, "the prompt's stop string would cut the answer off")
        return read

    def _text(self, network: LemurNetwork, trial: BestTrial | None) -> str | Refusal:
        """Return the whole answer, prefill included, not yet read by the contract."""
        settings = trial.settings if trial else {}
        mode = self.template.mode
        if mode == "features":
            return self._layer_list(network.code, settings)
        if mode == "full" and self._body_template is None:
            return write(_answer_with_settings(network.code, settings))
        body = self._body(network.code)
        if isinstance(body, Refusal) or self._body_template is None:
            return body
        return self._whole_file(body, self._body_template)

    def _layer_list(self, code: str, settings: Mapping[str, Any]) -> str | Refusal:
        recorded = _allowed_values(settings, frozenset({"dropout"}))
        default = self.defaults.hyperparameters.get("dropout", _DROPOUT)
        layers = extract_layers(code, recorded.get("dropout", default))
        if isinstance(layers, Refusal):
            return layers
        return write_layers(narrow_to_budget(layers, self.tasks) if self.compact else layers)

    def _body(self, code: str) -> str | Refusal:
        body = extract_body(code, frozenset(self.defaults.hyperparameters))
        if self.compact and isinstance(body, str):
            body = strip_comments(body)
        return body if isinstance(body, Refusal) else _fenced(body)

    def _whole_file(self, body: str, template: Template) -> str | Refusal:
        """Return the file that the template of `body` mode makes of a body, as an answer."""
        task = self.tasks[0]
        prompt = template.render(task, self.defaults.hyperparameters)
        rest = body.removeprefix(prompt.prefill)
        whole = contract.read(rest, prompt, task, template, self.defaults)
        return whole if isinstance(whole, Refusal) else _fenced(whole.code)


def _fenced(code: str) -> str:
    """Return the code as an answer: in a code block, without settings."""
    return write(Answer(code.strip("\n").rstrip(), {}))


def _distinct_prompts(
    template: Template, tasks: Sequence[Task], hyperparameters: Mapping[str, float]
) -> tuple[CorpusPrompt, ...]:
    """Render the template for all tasks, and group tasks with the same prompt."""
    tasks_of: dict[Prompt, list[Task]] = {}
    for task in tasks:
        tasks_of.setdefault(template.render(task, hyperparameters), []).append(task)
    return tuple(
        CorpusPrompt(prompt, same[0], tuple(task.dataset for task in same))
        for prompt, same in tasks_of.items()
    )


def _trial_for(network: LemurNetwork, datasets: Sequence[str]) -> BestTrial | None:
    """Return the best trial on the first of the data sets that has one, else on any data set."""
    own = (network.best(LEMUR_DATASETS.get(name, name)) for name in datasets)
    return next((trial for trial in own if trial is not None), network.best())


def _answer_with_settings(code: str, settings: Mapping[str, Any]) -> Answer:
    """Return the answer of `full` mode: a network's code with the settings of its best trial."""
    batch, transform = settings.get("batch"), settings.get("transform")
    return Answer(
        code.strip("\n").rstrip(),
        _allowed_values(settings, _supported(code)),
        batch if isinstance(batch, int) and _is_allowed("batch", batch) else None,
        _prompt_name(transform) if isinstance(transform, str) else None,
    )


def _allowed_values(settings: Mapping[str, Any], names: frozenset[str]) -> dict[str, float]:
    """Return the named settings whose values are within the contract's ranges, rounded."""
    found = {}
    for name in sorted(names & settings.keys()):
        value = settings[name]
        if isinstance(value, int | float) and not isinstance(value, bool):
            rounded = float(f"{value:.{_DIGITS}g}")
            if _is_allowed(name, rounded):
                found[name] = rounded
    return found


def _prompt_name(transform: str) -> str | None:
    """Return a transform's name as prompts write it; None if nngpt does not have the transform."""
    return transform.replace("_", "-") if transform_names.spec(transform) else None


def _supported(code: str) -> frozenset[str]:
    tree = parse_network(code)
    names = read_supported(tree) if tree is not None else frozenset[str]()
    protocol = frozenset({"batch", "epoch", "transform"})
    return frozenset() if isinstance(names, Refusal) else names - protocol


def _is_allowed(name: str, value: float) -> bool:
    try:
        Hyperparameters.model_validate({name: value})
    except ValidationError:
        return False
    return True
