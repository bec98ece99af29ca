"""`nngpt learn rl`: train an adapter with GRPO, on rewards of real executions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nngpt.cli.options import (
    AsJson,
    ConfigName,
    Overrides,
    Sandbox,
    Seed,
    console,
    load_config,
    make_folder,
    print_json,
)
from nngpt.cli.stopping import stoppable
from nngpt.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from nngpt.config import Config
    from nngpt.cycle.parts import Parts
    from nngpt.protocols import NoveltyMeasure
    from nngpt.records import Adapter, Candidate


def rl(
    config: ConfigName,
    steps: Annotated[int | None, typer.Option(help="Total number of steps.", min=1)] = None,
    from_adapter: Annotated[
        Path | None, typer.Option(help="Adapter to continue from, also the KL reference.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the training (default: runs/rl/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the adapter (default: the configuration's).")
    ] = None,
    seed: Seed = None,
    sandbox: Sandbox = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Annotated[bool, typer.Option(help="Start over; keep the old training.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an adapter with GRPO on rewards of executions, or resume."""
    adapter = str(from_adapter) if from_adapter else None
    given = {"rl.steps": steps, "llm.adapter": adapter, "name": name}
    settings = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    folder = out or settings.folder / "rl" / settings.name
    with stoppable():
        made = _find_or_train(settings, folder, fresh, console(stderr=as_json))
        _print_result(folder, made, as_json)


def _find_or_train(settings: Config, folder: Path, fresh: bool, out: Console) -> Adapter:
    """Return the adapter of all steps; train it if it does not exist yet."""
    from nngpt.finetuning.training_folder import lock_folder, rl_settings, trained_adapter
    from nngpt.finetuning.trl_trainers import check_installed
    from nngpt.generation.models.adapters import starting_adapter

    check_installed()
    _check(settings)
    parent = starting_adapter(settings)
    identity = rl_settings(settings, parent)
    make_folder(folder, "--out")
    with lock_folder(folder, identity, fresh):
        known = trained_adapter(folder, settings.rl.steps)
        return known or _train(settings, folder, parent, identity, out)


def _check(settings: Config) -> None:
    """Check settings that RL cannot work with, before slow steps.

    Raises:
        ConfigError: backend or sampling do not suit RL, or a reward cannot work with the task.
        PluginError: there is no reward of a given name.
    """
    from nngpt import plugins
    from nngpt.data.loading import data_source
    from nngpt.finetuning.rl.reward_terms import make_terms
    from nngpt.generation.contract import make_reader

    if settings.llm.backend != "transformers":
        raise ConfigError(
            f"the backend {settings.llm.backend!r} cannot be trained while it writes",
            where="llm.backend",
            hint="Use transformers.",
        )
    if settings.sampling.temperature == 0:
        raise ConfigError(
            "at temperature 0 all answers of a group are the same",
            where="sampling.temperature",
            hint="Set it above 0; 1 samples from the LLM's own distribution.",
        )
    if settings.sampling.constrain:
        raise ConfigError(
            "RL needs answers that are sampled without constraints",
            where="sampling.constrain",
            hint="Set it to false.",
        )
    novelty = settings.novelty
    reader = make_reader(settings, data_source(settings))

    def new_measure() -> NoveltyMeasure:
        made: NoveltyMeasure = plugins.create(
            "novelty measure", novelty.measure, novelty, options=novelty.options
        )
        return made

    make_terms(settings.rl.rewards, reader.task, new_measure(), new_measure)


def _train(
    settings: Config, folder: Path, parent: Adapter | None, identity: dict[str, Any], out: Console
) -> Adapter:
    """Take the missing steps, and return the adapter. Raises: UserError."""
    from nngpt.cycle.parts import assemble
    from nngpt.finetuning.rl import grpo
    from nngpt.finetuning.rl.execution_cache import ExecutionCache
    from nngpt.finetuning.rl.reward_terms import known_networks, make_terms
    from nngpt.finetuning.rl.scoring import AnswerScorer
    from nngpt.generation.llm.transformers import TransformersLLM
    from nngpt.reports.progress.rl import RLProgress

    weights = settings.rl.rewards
    with (
        RLProgress(out, settings.rl.steps) as shown,
        assemble(settings, shown.note) as parts,
    ):
        known = known_networks(parts.novelty, _known(parts))
        terms = make_terms(weights, parts.task, known, parts.novelty)
        assert isinstance(parts.llm, TransformersLLM), "_check refuses other backends"
        parts.llm.use_adapter(None)
        with ExecutionCache(
            parts.executor, settings.seed, _setting(settings, parts), folder / "executions.jsonl"
        ) as executions:
            scorer = AnswerScorer(weights, terms, parts.reader.read, executions)
            run = grpo.GRPORun(
                config=settings,
                llm=parts.llm,
                prompt=parts.reader.prompt,
                scorer=scorer,
                executions=executions,
                folder=folder,
                name=settings.name,
                parent=parent,
                settings=identity,
            )
            shown.note(f"GRPO: {_batch(settings)}; rewards: {_weighted(weights)}")
            return grpo.train(run, shown)


def _known(parts: Parts) -> dict[str, Candidate]:
    """Return the networks that are not novel: of the prompt, the corpus and the adapter."""
    corpus = {
        f"corpus network {n}": network for n, (_, network) in enumerate(parts.start.corpus, 1)
    }
    return {**parts.reader.examples(), **corpus, **parts.start.learned}


def _setting(settings: Config, parts: Parts) -> dict[str, Any]:
    """Return everything that an execution depends on, apart from network and seed."""
    import torch

    from nngpt.data.loading import data_source
    from nngpt.finetuning.rl.execution_cache import hash_data

    task, identity = settings.task, settings.identity()
    source = data_source(settings)
    splits = source.splits(settings.seed, task.train_limit, task.validation_limit)
    return {
        "task": identity["task"],
        "evaluation": identity["evaluation"],
        "data": hash_data(splits),
        "sandbox": parts.executor.level,
        "torch": torch.__version__,
    }


def _batch(settings: Config) -> str:
    return f"{settings.rl.groups} × {settings.rl.group_size} answers a step"


def _weighted(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())


def _print_result(folder: Path, adapter: Adapter, as_json: bool) -> None:
    """Print the trends of the rewards, and the adapter's path."""
    from nngpt.finetuning.rl.journal import Journal
    from nngpt.reports.tables.rl import facts, summary_json, trends_table

    steps = Journal(folder).steps
    if as_json:
        made = {"adapter": adapter.name, "path": adapter.path, "parent": adapter.parent}
        return print_json({**made, "folder": str(folder), **summary_json(steps)})
    out = console()
    out.print(trends_table(steps))
    out.print(facts(steps), soft_wrap=True, markup=False)
    line = f"Adapter {adapter.name}: --set llm.adapter={adapter.path}"
    out.print(line, soft_wrap=True, markup=False)
    return None
