"""`nngpt learn prefer`: DPO or KTO on what a run admitted and refused."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.options import (
    AsJson,
    ConfigName,
    Overrides,
    Seed,
    console,
    find_run,
    load_config,
    make_folder,
    open_store,
    print_json,
)
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.finetuning.preferences.answers import Answer
    from nngpt.finetuning.preferences.training import PreferenceStep
    from nngpt.generation.models.loading import LoadedBase
    from nngpt.records import Adapter


class Method(StrEnum):
    """How preferences are learned."""

    DPO = "dpo"
    KTO = "kto"


def prefer(
    config: ConfigName,
    method: Annotated[
        Method, typer.Option(help="dpo: pairs of answers to one prompt; kto: single answers.")
    ] = Method.DPO,
    run: Annotated[
        str | None, typer.Option(help="Whose answers (default: the configuration's run).")
    ] = None,
    from_adapter: Annotated[
        Path | None, typer.Option(help="Go on from this adapter; it is the reference, too.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (default: runs/preference/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the adapter (default: configuration and method).")
    ] = None,
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Annotated[bool, typer.Option(help="Begin anew; the old training is kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn from a run's admitted and refused answers (DPO, KTO), or carry on."""
    adapter = str(from_adapter) if from_adapter else None
    settings = load_config(config, overrides, seed=seed, **{"llm.adapter": adapter})
    called = name or f"{settings.name}-{method}"
    folder = out or settings.folder / "preference" / called
    with stoppable():
        answers = _answers(settings, run or settings.name)
        made = _learned(settings, method, answers, called, folder, fresh, console(stderr=as_json))
        _tell(folder, made, as_json)


def _answers(settings: Config, run: str) -> list[Answer]:
    from nngpt.finetuning.preferences.answers import answers_of
    from nngpt.finetuning.trainers import check_installed

    check_installed()
    with open_store(settings.folder) as store:
        return answers_of(store, find_run(store, run).id)


def _learned(
    settings: Config,
    method: Method,
    answers: list[Answer],
    name: str,
    folder: Path,
    fresh: bool,
    out: Console,
) -> Adapter:
    """The adapter, whether it was there or has to be made."""
    from nngpt.cycle.parts import starting_adapter
    from nngpt.finetuning.folders import finished, opened, preference_settings
    from nngpt.finetuning.preferences.answers import comparisons, digest
    from nngpt.finetuning.preferences.training import Preferences
    from nngpt.records import derive_seed

    parent, fingerprint = starting_adapter(settings), digest(answers)
    identity = preference_settings(settings, parent, method, fingerprint)
    draw = derive_seed(settings.seed, "pairs")
    pairs = comparisons(answers, settings.preference.rivals, draw) if method is Method.DPO else []
    make_folder(folder, "--out")
    with opened(folder, identity, fresh):
        known = finished(folder, 1)
        if known is not None:
            return known
        good = sum(answer.good for answer in answers)
        out.print(f"{good} admitted and {len(answers) - good} refused answers")
        base = _base(settings)
        out.print(f"  {base.facts}", markup=False)
        learner = Preferences(settings, base, folder, name, parent, fingerprint, identity)
        if method is Method.DPO:
            return learner.dpo(pairs, _Shown(out))
        return learner.kto(answers, _Shown(out))


def _base(settings: Config) -> LoadedBase:
    """The weights of `learning.base` if a server writes, under the name of the model served."""
    from nngpt.generation.models.loading import load_base

    source = settings.learning.base or settings.llm.model
    loaded = load_base(settings.llm.model_copy(update={"model": source}))
    return replace(loaded, name=settings.llm.model)


class _Shown:
    """A line for each step."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def __call__(self, step: PreferenceStep) -> None:
        margin = "" if step.margin is None else f", margin {step.margin:+.3f}"
        accuracy = "" if step.accuracy is None else f", pairs in order {step.accuracy:.0%}"
        line = f"  step {step.step} of {step.steps}: loss {step.loss:.4f}{margin}{accuracy}"
        self._out.print(line, markup=False)


def _tell(folder: Path, adapter: Adapter, as_json: bool) -> None:
    made = {
        "adapter": adapter.name,
        "path": adapter.path,
        "parent": adapter.parent,
        "folder": str(folder),
        "examples": adapter.pairs,
        "loss_first": adapter.loss_first,
        "loss_last": adapter.loss_last,
    }
    if as_json:
        return print_json(made)
    loss = f"loss {adapter.loss_first:.4f} → {adapter.loss_last:.4f}"
    where = f"--set llm.adapter={adapter.path}"
    line = f"Adapter {adapter.name}: {adapter.pairs} examples, {loss}; {where}"
    console().print(line, soft_wrap=True, markup=False)
    return None
