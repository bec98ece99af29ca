"""Supervised LoRA fine-tuning with `peft`: the learner of the cycle and of `nngpt learn sft`.

The loss counts the completion's tokens only, as rendered by `nngpt.generation.models.chat`; the
training loop is `nngpt.finetuning.sft`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nngpt.config import Config, LearningConfig
from nngpt.errors import LearningFailed
from nngpt.finetuning.lora import check_settings, with_adapter
from nngpt.finetuning.sft import (
    Checkpoint,
    Example,
    Point,
    Tuning,
    Watch,
    encode,
    fitting,
    kernels,
)
from nngpt.finetuning.sft.curve import write_curve
from nngpt.finetuning.sft.optimizer import choose_optimizer
from nngpt.finetuning.sft.replay import key, read_learned, with_replay, write_learned
from nngpt.generation.models.adapters import finished_adapter, save_adapter
from nngpt.generation.models.loading import LoadedBase, choose_device, clear_memory, load_base
from nngpt.generation.pairs import corpus_hash
from nngpt.protocols import LLM, Log, OnStep, SharesBase
from nngpt.records import Adapter, TrainingPair, canonical_json


def create(config: Config, llm: LLM) -> LoraTrainer:
    """A learner that shares the base model with `llm` where that is in this process.

    Raises:
        ModelError: the optimiser cannot run here, or the base has no such modules.
    """
    return LoraTrainer(config, llm)


@dataclass(frozen=True)
class Job:
    """What is to be learned, and what becomes of it.

    Attributes:
        pairs: what is learned.
        name: the adapter's.
        folder: where the adapter's folder is made.
        parent: the adapter to go on from, None for the base.
        seed: of fresh weights, order, dropout and replay.
        dev: held-out pairs; their loss is measured at the start and after each epoch.
    """

    pairs: Sequence[TrainingPair]
    name: str
    folder: Path
    parent: Adapter | None
    seed: int
    dev: Sequence[TrainingPair] = ()

    @property
    def learned_before(self) -> set[str] | None:
        """Keys of the pairs that the parent has learned, None if nobody wrote them down."""
        return read_learned(Path(self.parent.path)) if self.parent else None


class LoraTrainer:
    """Implements `nngpt.protocols.Learner`.

    Attributes:
        facts: the optimiser, for the run's first lines.
    """

    def __init__(self, config: Config, llm: LLM) -> None:
        self._config = config.learning
        self._llm = llm
        self._llm_config = config.llm
        device = choose_device(config.llm.device)
        self._optimizer = choose_optimizer(config.learning.optimizer, on_cpu=device == "cpu")
        rank = config.learning.rank
        self.facts = f"LoRA rank {rank}, {self._optimizer}{kernels.facts(device)}"
        if isinstance(llm, SharesBase):
            self._prepare(llm.base)

    def learn(
        self,
        pairs: Sequence[TrainingPair],
        name: str,
        folder: Path,
        parent: Adapter | None,
        seed: int,
        on_step: OnStep,
    ) -> Adapter:
        """Train on `pairs`, write the adapter to `folder / name` and return its record.

        Raises:
            LearningFailed: no pair fits `max_length`, or the loss is not finite.
            ModelError: `parent` belongs to another base, or memory is not enough.
        """

        def watch(point: Point) -> None:
            if point.loss is not None:
                on_step(point.step, point.steps, point.loss)

        return self.tune(Job(pairs, name, folder, parent, seed), watch, lambda _: None)

    def tune(self, job: Job, watch: Watch, log: Log) -> Adapter:
        """`learn`, watched closely.

        What was interrupted goes on from its checkpoint, a hidden folder beside `folder / name`;
        what is there already is not trained again. The loss curve, and what the adapter has learned
        in all, lie beside the weights.
        """
        base, target = self._base(), job.folder / job.name
        known = finished_adapter(target, base, corpus_hash(job.pairs), job.parent)
        if known is not None and self._same_settings(known.settings):
            log(f"{target} is there already.")
            return known
        if target.exists():
            log(f"{target} is another one; it will be kept under another name.")
        chosen = self._chosen(job, log)
        examples = self._examples(base.tokenizer, chosen)
        held_out = fitting(encode(base.tokenizer, job.dev), self._config.max_length)
        unfinished = job.folder / f".{job.name}.tuning"
        identity = self._identity(base, job, chosen)
        checkpoint = Checkpoint(unfinished, identity, self._config.checkpoint_s)
        model = with_adapter(self._config, base, job.parent, job.seed)
        tuning = Tuning(model, self._config, self._optimizer, job.seed)
        try:
            with clear_memory("learning.tokens_per_batch", "Lower it, or learning.max_length."):
                points = tuning.run(examples, held_out, checkpoint, watch, log)
            adapter = self._record(base, job, len(examples), points)
            facts = self._facts(base, job) | {
                "pairs": len(examples),
                "pairs_given": len(job.pairs),
                "pairs_too_long": len(chosen) - len(examples),
                "held_out_pairs": len(held_out),
            }
            learned = (job.learned_before or set()) | {key(pair) for pair in chosen}

            def write_beside(draft: Path) -> None:
                write_curve(points, facts, draft)
                write_learned(learned, draft)

            adapter = save_adapter(model, adapter, target, self._config.save_dtype, write_beside)
        except LearningFailed:
            checkpoint.remove()
            raise
        finally:
            base.model = model.unload()
        checkpoint.remove()
        return adapter

    def _base(self) -> LoadedBase:
        if isinstance(self._llm, SharesBase):
            self._llm.use_adapter(None)
            shared: LoadedBase = self._llm.base
            return shared
        source = self._config.base or self._llm.model
        loaded = load_base(self._llm_config.model_copy(update={"model": source}))
        self._prepare(loaded)
        # `learning.base` says where the weights are; the adapter belongs to the model served.
        return replace(loaded, name=self._llm.model)

    def _prepare(self, base: LoadedBase) -> None:
        check_settings(self._config, base)
        kernels.use_liger(base.model)

    def _chosen(self, job: Job, log: Log) -> Sequence[TrainingPair]:
        """The pairs to learn: all, or with `learning.replay` the new ones and some of the others.

        Raises:
            LearningFailed: the parent has learned them all, and none is to be learned again.
        """
        replay, learned = self._config.replay, job.learned_before
        if replay is None or learned is None:
            return job.pairs
        chosen = with_replay(job.pairs, learned, replay, job.seed)
        new = sum(key(pair) not in learned for pair in chosen)
        log(f"{new:,} pairs are new to it, {len(chosen) - new:,} of the others are replayed.")
        if not chosen:
            raise LearningFailed("there is nothing new to learn", where="learning.replay")
        return chosen

    def _examples(self, tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[Example]:
        """The pairs as token ids, those that are too long left out. Raises: LearningFailed."""
        examples = fitting(encode(tokenizer, pairs), self._config.max_length)
        if not examples:
            raise LearningFailed(
                f"none of the {len(pairs)} training pairs fits",
                where=f"learning.max_length: {self._config.max_length}",
            )
        return examples

    def _record(
        self, base: LoadedBase, job: Job, examples: int, points: Sequence[Point]
    ) -> Adapter:
        losses = [point.loss for point in points if point.loss is not None]
        return Adapter(
            name=job.name,
            path="",
            base=base.name,
            base_digest=base.digest,
            parent=job.parent.name if job.parent else None,
            corpus_hash=corpus_hash(job.pairs),
            pairs=examples,
            tokens=points[-1].tokens,
            loss_first=losses[0],
            loss_last=losses[-1],
            seconds=points[-1].seconds,
            settings=self._config.model_dump_json(),
        )

    def _facts(self, base: LoadedBase, job: Job) -> dict[str, Any]:
        """What stands above the curve in `training.json`."""
        return {"name": job.name, "base": base.facts, "learning": self.facts, "seed": job.seed}

    def _identity(self, base: LoadedBase, job: Job, chosen: Sequence[TrainingPair]) -> str:
        """All that a training depends on; a checkpoint goes on only with the same."""
        parent = job.parent
        made_of = [
            base.name,
            base.digest,
            str(base.model.dtype),
            self._optimizer,
            corpus_hash(chosen),
            corpus_hash(job.dev),
            [parent.name, parent.corpus_hash] if parent else None,
            job.seed,
            self._config.model_dump(mode="json", exclude=_NOT_LEARNED),
        ]
        return hashlib.sha256(canonical_json(made_of).encode()).hexdigest()

    def _same_settings(self, settings: str) -> bool:
        """True if an adapter's settings, perhaps of an older nngpt, would teach the same."""
        try:
            before = LearningConfig.model_validate_json(settings)
        except ValidationError:
            return False
        now = self._config.model_dump(exclude=_NOT_LEARNED)
        return before.model_dump(exclude=_NOT_LEARNED) == now


_NOT_LEARNED = {"enabled", "learner", "options", "start", "min_pairs"} | {
    "corpus",
    "corpus_limit",
    "warm_up",
    "checkpoint_s",
}
"""Keys that say which pairs are learned, and when, or how often it is saved."""
