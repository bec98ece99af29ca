"""`nngpt learn prefer`: train an adapter with DPO or KTO on a run's answers."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.inputs import find_run, load_config, make_folder, open_store
from nngpt.cli.options import AsJson, ConfigName, Fresh, Overrides, Seed, StartingAdapter
from nngpt.cli.output import console, print_result
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.finetuning.preferences.answers import RatedAnswer
    from nngpt.finetuning.preferences.training import PreferenceStep
    from nngpt.generation.models.loading import LoadedBase
    from nngpt.records import Adapter


class Method(StrEnum):
    """Method of preference learning."""

    DPO = "dpo"
    KTO = "kto"


def prefer(
    config: ConfigName,
    method: Annotated[
        Method, typer.Option(help="dpo: pairs of answers to one prompt; kto: single answers.")
    ] = Method.DPO,
    run: Annotated[
        str | None,
        typer.Option(help="Run that supplies the answers (default: the configuration's)."),
    ] = None,
    from_adapter: StartingAdapter = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (default: runs/preference/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the adapter (default: configuration and method).")
    ] = None,
    seed: Seed = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter on a run's admitted and refused answers; the same command resumes."""
    adapter = str(from_adapter) if from_adapter else None
    settings = load_config(config, overrides, seed=seed, **{"llm.adapter": adapter})
    called = name or f"{settings.name}-{method}"
    folder = out or settings.folder / "preference" / called
    with stoppable():
        answers = _answers(settings, run or settings.name)
        out_stream = console(stderr=as_json)
        made = _find_or_train(settings, method, answers, called, folder, fresh, out_stream)
        _print_result(folder, made, as_json)


def _answers(settings: Config, run: str) -> list[RatedAnswer]:
    """Return the good and bad answers of a run. Raises: UserError, StoreError."""
    from nngpt.finetuning.preferences.answers import read_answers
    from nngpt.finetuning.trl_trainers import check_installed

    check_installed()
    with open_store(settings.folder) as store:
        return read_answers(store, find_run(store, run).id)


def _find_or_train(
    settings: Config,
    method: Method,
    answers: list[RatedAnswer],
    name: str,
    folder: Path,
    fresh: bool,
    out: Console,
) -> Adapter:
    """Return the adapter; train it if it does not exist yet."""
    from nngpt.finetuning.preferences.answers import hash_answers, pair_answers
    from nngpt.finetuning.preferences.training import PreferenceLearner
    from nngpt.finetuning.training_folder import lock_folder, preference_settings, trained_adapter
    from nngpt.generation.models.adapters import starting_adapter
    from nngpt.records import derive_seed

    parent, fingerprint = starting_adapter(settings), hash_answers(answers)
    identity = preference_settings(settings, parent, method, fingerprint)
    draw = derive_seed(settings.seed, "pairs")
    pairs = pair_answers(answers, settings.preference.rivals, draw) if method is Method.DPO else []
    make_folder(folder, "--out")
    with lock_folder(folder, identity, fresh):
        known = trained_adapter(folder, 1)
        if known is not None:
            return known
        good = sum(answer.good for answer in answers)
        out.print(f"{good} admitted and {len(answers) - good} refused answers")
        base = _base(settings)
        out.print(f"  {base.facts}", markup=False)
        learner = PreferenceLearner(settings, base, folder, name, parent, fingerprint, identity)
        if method is Method.DPO:
            return learner.dpo(pairs, _StepPrinter(out))
        return learner.kto(answers, _StepPrinter(out))


def _base(settings: Config) -> LoadedBase:
    """Load the weights of `learning.base` (if set) under the name of the served model."""
    from nngpt.generation.models.loading import load_base

    source = settings.learning.base or settings.llm.model
    loaded = load_base(settings.llm.model_copy(update={"model": source}))
    return replace(loaded, name=settings.llm.model)


class _StepPrinter:
    """Prints a line for each step."""

    def __init__(self, out: Console) -> None:
        self._out = out

    def __call__(self, step: PreferenceStep) -> None:
        margin = "" if step.margin is None else f", margin {step.margin:+.3f}"
        accuracy = "" if step.accuracy is None else f", pairs in order {step.accuracy:.0%}"
        line = f"  step {step.step} of {step.steps}: loss {step.loss:.4f}{margin}{accuracy}"
        self._out.print(line, markup=False)


def _print_result(folder: Path, adapter: Adapter, as_json: bool) -> None:
    """Print the losses, and the adapter's path."""
    made = {
        "adapter": adapter.name,
        "path": adapter.path,
        "parent": adapter.parent,
        "folder": str(folder),
        "examples": adapter.pairs,
        "loss_first": adapter.loss_first,
        "loss_last": adapter.loss_last,
    }
    loss = f"loss {adapter.loss_first:.4f} → {adapter.loss_last:.4f}"
    where = f"--set llm.adapter={adapter.path}"
    text = f"Adapter {adapter.name}: {adapter.pairs} examples, {loss}; {where}"
    print_result(as_json, made, text)
