"""Train an adapter with RL (GRPO) in its folder, with the prompt and parts of a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from nngpt.config import Config, identity_of
from nngpt.cycle.parts import Parts, assemble, new_measure
from nngpt.data.loading import data_source
from nngpt.errors import ConfigError
from nngpt.finetuning.lora import overridden
from nngpt.finetuning.rl import grpo
from nngpt.finetuning.rl.execution_cache import ExecutionCache, hash_data
from nngpt.finetuning.rl.scoring import AnswerScorer, known_networks, make_terms
from nngpt.finetuning.training_folder import lock_folder, rl_settings, trained_adapter
from nngpt.finetuning.trl_trainers import check_installed
from nngpt.generation.contract import make_reader
from nngpt.generation.models.adapters import starting_adapter
from nngpt.records import Adapter, Candidate
from nngpt.reports.progress import RLProgress


def check_rl(config: Config) -> None:
    """Check settings that an RL training cannot work with, before slow steps.

    Raises:
        UserError: TRL is not installed.
        ConfigError: backend or sampling do not suit RL, or a reward cannot work with the task.
        PluginError: there is no reward of a given name.
        ModelError: the adapter to start from is missing.
    """
    check_installed()
    if config.llm.backend != "transformers":
        what = f"the backend {config.llm.backend!r} cannot be trained while it writes"
        raise ConfigError(what, where="llm.backend", hint="Use transformers.")
    if config.sampling.temperature == 0:
        raise ConfigError(
            "at temperature 0 all answers of a group are the same",
            where="sampling.temperature",
            hint="Set it above 0; 1 samples from the LLM's own distribution.",
        )
    if config.sampling.constrain:
        what = "RL needs answers that are sampled without constraints"
        raise ConfigError(what, where="sampling.constrain", hint="Set it to false.")
    measure = partial(new_measure, config)
    task = make_reader(config, data_source(config)).task
    make_terms(config.rl.rewards, task, measure(), measure)
    starting_adapter(config)


def train_rl(config: Config, folder: Path, fresh: bool, shown: RLProgress) -> Adapter:
    """Train with RL on the parts of a run, as far as the folder lacks steps; return the adapter.

    Args:
        fresh: start over, and keep the old training in a subfolder.

    Raises: UserError if the training began with other settings, or a part cannot be opened.
    """
    parent = starting_adapter(config)
    settings = rl_settings(config, parent)
    with lock_folder(folder, settings, fresh):
        known = trained_adapter(folder, config.rl.steps)
        return known or _train(config, folder, parent, settings, shown)


def _train(
    config: Config,
    folder: Path,
    parent: Adapter | None,
    settings: dict[str, Any],
    shown: RLProgress,
) -> Adapter:
    """Open the parts of the run, and take the missing steps."""
    rl, file = config.rl, folder / "executions.jsonl"
    # No reward waits for a second training: the executor bounds the time of the first.
    once = config.evaluation.model_copy(update={"retrain": False})
    with assemble(config.model_copy(update={"evaluation": once}), shown.note) as parts:
        known = known_networks(parts.novelty, _known(parts))
        terms = make_terms(rl.rewards, parts.task, known, parts.novelty)
        llm: Any = parts.llm  # check_rl has refused other backends than transformers
        llm.use_adapter(None)
        cache = ExecutionCache(parts.executor, config.seed, _setting(config, parts), file)
        scorer = AnswerScorer(rl.rewards, terms, parts.read, cache)
        run = grpo.GRPORun(
            config=config,
            llm=llm,
            prompt=parts.reader.prompt,
            scorer=scorer,
            executions=cache,
            folder=folder,
            name=config.name,
            parent=parent,
            settings=settings,
        )
        weights = ", ".join(f"{name} {weight:g}" for name, weight in rl.rewards.items())
        batch = f"{rl.groups} × {rl.group_size} answers per step"
        shown.note(f"GRPO: {batch}; rewards: {weights}")
        if ignored := overridden(config.learning, parent):
            shown.note(ignored)
        return grpo.train(run, shown)


def _known(parts: Parts) -> dict[str, Candidate]:
    """Return the networks that are not novel: of the prompt, the corpus and the adapter."""
    corpus = {f"corpus network {n}": found for n, (_, found) in enumerate(parts.start.corpus, 1)}
    return {**parts.reader.examples(), **corpus, **parts.start.learned}


def _setting(config: Config, parts: Parts) -> dict[str, Any]:
    """Return everything that an execution depends on, apart from network and seed."""
    import torch

    task, identity = config.task, identity_of(config)
    splits = data_source(config).splits(config.seed, task.train_limit, task.validation_limit)
    return {
        "task": identity["task"],
        "evaluation": identity["evaluation"],
        "data": hash_data(splits),
        "sandbox": parts.executor.level,
        "torch": torch.__version__,
    }
