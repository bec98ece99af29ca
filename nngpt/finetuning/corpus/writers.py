"""Choose how LEMUR's networks are written for a prompt template: as networks or as changes."""

from __future__ import annotations

from collections.abc import Sequence

from nngpt import plugins
from nngpt.config import Config
from nngpt.errors import UserError
from nngpt.finetuning.corpus.answers import CHARACTERS_PER_TOKEN, AnswerWriter
from nngpt.finetuning.corpus.changes import ChangeWriter
from nngpt.generation import modes
from nngpt.generation.contract import Defaults
from nngpt.generation.prompts import template as prompts
from nngpt.records import Task


def make_writer(
    config: Config, template_name: str | None, datasets: Sequence[str], compact: bool = False
) -> AnswerWriter:
    """Return a writer of a corpus's answers for data sets, with a run's budget and defaults.

    Args:
        template_name: prompt template; None for the configuration's.

    Raises:
        ConfigError: there is no such template.
        PluginError: there is no such data set.
        UserError: networks cannot be written as answers of the template's mode.
    """
    template = prompts.load(template_name or config.prompt.template)
    if template.mode not in CHARACTERS_PER_TOKEN:
        what = f"LEMUR's networks cannot be written as answers of {template.mode} mode"
        known = f"Use a template of one of these modes: {', '.join(CHARACTERS_PER_TOKEN)}"
        raise UserError(what, where=template.name, hint=known)
    tasks = [_task(name, config.task.max_parameters) for name in dict.fromkeys(datasets)]
    writes = ChangeWriter if modes.load(template.mode).changes_parent else AnswerWriter
    return writes(template, tasks, Defaults.of(config.evaluation), compact)


def _task(dataset: str, max_parameters: int | None) -> Task:
    source = plugins.create("data set", dataset, None)
    shape = (1, *source.shape)
    return Task(source.name, shape, (source.classes,), 0.0, max_parameters=max_parameters)
