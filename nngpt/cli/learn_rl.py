"""`nngpt learn rl`: GRPO on the prompt of a task, paid by real executions."""

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
    steps: Annotated[int | None, typer.Option(help="How many steps in all.", min=1)] = None,
    from_adapter: Annotated[
        Path | None, typer.Option(help="Go on from this adapter; it is the reference, too.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (default: runs/rl/NAME).")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of run and adapter (default: the configuration's).")
    ] = None,
    seed: Seed = None,
    sandbox: Sandbox = None,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    fresh: Annotated[bool, typer.Option(help="Begin anew; the old run is kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reinforcement learning on executions (GRPO), or carry on where it was."""
    adapter = str(from_adapter) if from_adapter else None
    given = {"rl.steps": steps, "llm.adapter": adapter, "name": name}
    settings = load_config(config, overrides, seed=seed, sandbox=sandbox, **given)
    folder = out or settings.folder / "rl" / settings.name
    with stoppable():
        made = _learned(settings, folder, fresh, console(stderr=as_json))
        _tell(folder, made, as_json)


def _learned(settings: Config, folder: Path, fresh: bool, out: Console) -> Adapter:
    """The adapter of all steps, whether it was there or has to be made."""
    from nngpt.cycle.parts import starting_adapter
    from nngpt.finetuning.training_folder import finished, opened, rl_settings
    from nngpt.finetuning.trl_trainers import check_installed

    check_installed()
    _check(settings)
    parent = starting_adapter(settings)
    identity = rl_settings(settings, parent)
    make_folder(folder, "--out")
    with opened(folder, identity, fresh):
        return finished(folder, settings.rl.steps) or _learn(
            settings, folder, parent, identity, out
        )


def _check(settings: Config) -> None:
    """What can be known at once to be impossible. Raises: ConfigError, PluginError."""
    from nngpt import plugins
    from nngpt.cycle.parts import data_source, make_reader
    from nngpt.finetuning.rl.scoring import make_terms

    if settings.llm.backend != "transformers":
        raise ConfigError(
            f"the backend {settings.llm.backend!r} cannot be trained while it writes",
            where="llm.backend",
            hint="Use transformers.",
        )
    if settings.sampling.temperature == 0:
        raise ConfigError(
            "without chance all answers of a group are the same",
            where="sampling.temperature",
            hint="Set it above 0; 1 samples from the LLM as it is.",
        )
    if settings.sampling.constrain:
        raise ConfigError(
            "RL learns from what the LLM draws freely",
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


def _learn(
    settings: Config, folder: Path, parent: Adapter | None, identity: dict[str, Any], out: Console
) -> Adapter:
    """Take the steps that are missing. Raises: UserError."""
    from nngpt.cycle import parts as assembly
    from nngpt.finetuning.rl import grpo
    from nngpt.finetuning.rl.execution_cache import Executions
    from nngpt.finetuning.rl.scoring import RewardJudge, known_networks, make_terms
    from nngpt.generation.llm.transformers import TransformersLLM
    from nngpt.reports.progress.rl import RLProgress

    weights = settings.rl.rewards
    with (
        RLProgress(out, settings.rl.steps) as shown,
        assembly.assemble(settings, shown.note) as parts,
    ):
        known = known_networks(parts.new_measure, _known(parts))
        terms = make_terms(weights, parts.task, known, parts.new_measure)
        assert isinstance(parts.llm, TransformersLLM), "_check looks first"
        parts.llm.use_adapter(None)
        with Executions(
            parts.executor, settings.seed, _setting(settings, parts), folder / "executions.jsonl"
        ) as executions:
            judge = RewardJudge(weights, terms, parts.reader.read, executions)
            run = grpo.Run(
                config=settings,
                llm=parts.llm,
                prompt=parts.reader.prompt,
                judge=judge,
                executions=executions,
                folder=folder,
                name=settings.name,
                parent=parent,
                settings=identity,
            )
            shown.note(f"GRPO: {_batch(settings)}; rewards: {_weighted(weights)}")
            return grpo.learn(run, shown)


def _known(parts: Parts) -> dict[str, Candidate]:
    """What is not novel: the prompt's examples, the corpus, and what the adapter has learned."""
    corpus = {f"corpus network {n}": network for n, (_, network) in enumerate(parts.corpus, 1)}
    return {**parts.reader.examples(), **corpus, **parts.seen}


def _setting(settings: Config, parts: Parts) -> dict[str, Any]:
    """All that an execution depends on, but network and seed."""
    import torch

    from nngpt.cycle.parts import data_source
    from nngpt.finetuning.rl.execution_cache import data_digest

    task, identity = settings.task, settings.identity()
    source = data_source(settings)
    splits = source.splits(settings.seed, task.train_limit, task.validation_limit)
    return {
        "task": identity["task"],
        "evaluation": identity["evaluation"],
        "data": data_digest(splits),
        "sandbox": parts.executor.level,
        "torch": torch.__version__,
    }


def _batch(settings: Config) -> str:
    return f"{settings.rl.groups} × {settings.rl.group_size} answers a step"


def _weighted(weights: dict[str, float]) -> str:
    return ", ".join(f"{name} {weight:g}" for name, weight in weights.items())


def _tell(folder: Path, adapter: Adapter, as_json: bool) -> None:
    """Whether the reward rose, and where the adapter lies."""
    from nngpt.finetuning.rl.journal import Journal
    from nngpt.reports.tables.rl import facts, summary_json, trends_table

    steps = Journal(folder).steps
    if as_json:
        made = {"adapter": adapter.name, "path": adapter.path, "parent": adapter.parent}
        return print_json({**made, "folder": str(folder), **summary_json(steps)})
    out = console()
    out.print(trends_table(steps))
    out.print(facts(steps), soft_wrap=True, markup=False)
    place = adapter.path
    out.print(f"Adapter {adapter.name}: --set llm.adapter={place}", soft_wrap=True, markup=False)
    return None
