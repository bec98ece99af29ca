"""Make the reader of a run from its configuration: task, template and defaults, checked."""

from __future__ import annotations

from dataclasses import replace

from nngpt.config import Config
from nngpt.data.loading import make_task
from nngpt.errors import ConfigError
from nngpt.generation.contract.candidate import USUAL, Defaults, check_transform
from nngpt.generation.contract.reader import Reader
from nngpt.generation.prompts import template as templates
from nngpt.protocols import DatasetSource
from nngpt.records import Refusal


def make_reader(config: Config, source: DatasetSource) -> Reader:
    """Return the reader for a configuration's task, prompt and defaults.

    A network that needs a hyperparameter without a value gets the usual one, unless
    `evaluation.fixed`; the prompt's own networks must not need any.

    Raises: ConfigError.
    """
    task = make_task(config, source)
    template = templates.load(config.prompt.template)
    prompt = template.render(
        task, config.evaluation.hyperparameters, template.examples[: config.prompt.shots]
    )
    reader = Reader(task, template, prompt, Defaults.of(config.evaluation))
    _check_defaults(reader)
    usual = {} if config.evaluation.fixed else USUAL
    return replace(reader, defaults=replace(reader.defaults, usual=usual))


def _check_defaults(reader: Reader) -> None:
    """Check that the template's networks pass with the defaults. Raises: ConfigError."""
    fault = check_transform(reader.defaults.transform)
    if fault is not None:
        raise ConfigError(fault.reason, where="evaluation.transform", hint=fault.detail)
    for outcome in reader.shown().values():
        if isinstance(outcome, Refusal):
            raise ConfigError(
                f"with it an example of prompt {reader.template.name!r} is refused: "
                f"{outcome.reason}",
                where="evaluation",
                hint="Compare evaluation.hyperparameters with what the prompt's networks need.",
            )
