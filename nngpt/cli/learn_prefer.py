"""`nngpt learn prefer`: train an adapter with DPO or KTO on a run's answers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nngpt.cli.inputs import find_run, load_config, make_folder, open_store
from nngpt.cli.options import AsJson, ConfigName, Fresh, Overrides, Seed, StartingAdapter
from nngpt.cli.output import logger, print_result
from nngpt.cli.stopping import stoppable

if TYPE_CHECKING:
    from nngpt.config import Config
    from nngpt.finetuning.preferences import PreferenceStep, RatedAnswer
    from nngpt.protocols import Log
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
    from nngpt.finetuning.preferences import read_answers
    from nngpt.finetuning.trl_trainers import check_installed

    adapter = str(from_adapter) if from_adapter else None
    settings = load_config(config, overrides, seed=seed, **{"llm.adapter": adapter})
    called = name or f"{settings.name}-{method}"
    folder = out or settings.folder / "preference" / called
    with stoppable():
        check_installed()
        with open_store(settings.folder) as store:
            answers = read_answers(store, find_run(store, run or settings.name).id)
        made = _find_or_train(settings, method, answers, called, folder, fresh, logger(as_json))
        _print_result(folder, made, as_json)


def _find_or_train(
    settings: Config,
    method: Method,
    answers: list[RatedAnswer],
    name: str,
    folder: Path,
    fresh: bool,
    log: Log,
) -> Adapter:
    """Return the adapter; train it if it does not exist yet."""
    from nngpt.finetuning.lora import load_training_base
    from nngpt.finetuning.preferences import PreferenceLearner, hash_answers, pair_answers
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
        log(f"{good} admitted and {len(answers) - good} refused answers")
        base = load_training_base(settings.learning, settings.llm)
        log(f"  {base.facts}")
        learner = PreferenceLearner(settings, base, folder, name, parent, fingerprint, identity)

        def on_step(step: PreferenceStep) -> None:
            log(_step_line(step))

        dpo = method is Method.DPO
        return learner.dpo(pairs, on_step) if dpo else learner.kto(answers, on_step)


def _step_line(step: PreferenceStep) -> str:
    margin = "" if step.margin is None else f", margin {step.margin:+.3f}"
    accuracy = "" if step.accuracy is None else f", pairs in order {step.accuracy:.0%}"
    return f"  step {step.step} of {step.steps}: loss {step.loss:.4f}{margin}{accuracy}"


def _print_result(folder: Path, adapter: Adapter, as_json: bool) -> None:
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
