"""Fine-tune a LoRA adapter on training pairs: the learner of the cycle and of `nngpt learn sft`.

Only the tokens of the completion have a loss, as rendered by `nngpt.generation.models.chat`; the
training loop is `nngpt.finetuning.sft.loop`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nngpt.config import Config, LearningConfig
from nngpt.errors import LearningFailed
from nngpt.finetuning.lora import (
    check_settings,
    inherited,
    load_training_base,
    overridden,
    with_adapter,
)
from nngpt.finetuning.sft.attention import has_flash_attention
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.curve import CurvePoint, OnPoint, write_curve
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.finetuning.sft.objective import Objective
from nngpt.finetuning.sft.optimizer import choose_optimizer
from nngpt.finetuning.sft.packing import TokenizedPair, drop_long, tokenize
from nngpt.finetuning.sft.replay import pair_hash, read_learned, with_replay, write_learned
from nngpt.generation.models.adapters import (
    adapter_weights,
    check_changed,
    finished_adapter,
    save_adapter,
)
from nngpt.generation.models.loading import LoadedBase, choose_device, clear_memory
from nngpt.generation.pairs import corpus_hash
from nngpt.protocols import LLM, Log, OnStep, SharesBase
from nngpt.records import Adapter, TrainingPair, canonical_json


def create(config: Config, llm: LLM) -> LoraLearner:
    """Return the learner `sft`; it shares the base model with an `llm` in this process.

    Raises:
        ModelError: the optimiser cannot run here, or the base has no such modules.
    """
    return LoraLearner(config, llm)


@dataclass(frozen=True)
class SFTJob:
    """Inputs of one supervised fine-tuning: its pairs, its parent and its target.

    Attributes:
        folder: folder in which the adapter's folder is created.
        parent: adapter to continue from, None for the base.
        seed: seed of new weights, order, dropout and replay.
        dev: held-out pairs, whose loss is measured at the start and after each epoch.
    """

    pairs: Sequence[TrainingPair]
    name: str
    folder: Path
    parent: Adapter | None
    seed: int
    dev: Sequence[TrainingPair] = ()

    @property
    def learned_before(self) -> set[str] | None:
        """Hashes of the pairs that the parent has learned, None without a record."""
        return read_learned(Path(self.parent.path)) if self.parent else None


class LoraLearner:
    """Fine-tunes LoRA adapters; implements `nngpt.protocols.Learner`.

    Attributes:
        objective: what a training minimises.
        facts: rank, optimiser and kernels, for the first lines of a run.
    """

    def __init__(self, config: Config, llm: LLM, objective: Objective | None = None) -> None:
        self._config = config.learning
        self.objective = objective or Objective()
        self._llm = llm
        self._llm_config = config.llm
        device = choose_device(config.llm.device)
        self._optimizer = choose_optimizer(config.learning.optimizer, on_cpu=device == "cpu")
        rank = config.learning.rank
        self.facts = f"LoRA rank {rank}, {self._optimizer}{kernel_names(device)}"
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
        held_out: Sequence[TrainingPair] = (),
    ) -> Adapter:
        """Train on `pairs`, write the adapter to `folder / name` and return its record.

        Held-out pairs that the parent has learned, in runs older than held-out pairs, do not count.

        Raises:
            LearningFailed: no pair fits `max_length`, the loss is not finite, or nothing changed.
            ModelError: `parent` belongs to another base, or memory is not enough.
        """

        def on_point(point: CurvePoint) -> None:
            if point.loss is not None:
                on_step(point.step, point.steps, point.loss)

        job = SFTJob(pairs, name, folder, parent, seed)
        known = job.learned_before or ()
        job = replace(job, dev=[pair for pair in held_out if pair_hash(pair) not in known])
        return self.tune(job, on_point, lambda _: None)

    def tune(self, job: SFTJob, on_point: OnPoint, log: Log) -> Adapter:
        """Run one fine-tuning like `learn`, and report each point of the loss curve.

        An interrupted training resumes from its checkpoint, a hidden folder beside the target; an
        existing adapter of the same inputs is not trained again. The loss curve and the hashes of
        all learned pairs are written beside the weights.

        Raises: as `learn`.
        """
        base, target, config = self._base(), job.folder / job.name, self._of(job)
        known = finished_adapter(target, base, corpus_hash(job.pairs), job.parent)
        if known is not None and _same_settings(known.settings, config):
            log(f"{target} exists already.")
            return known
        if target.exists():
            log(f"{target} is a different adapter; it will be kept under another name.")
        if ignored := overridden(self._config, job.parent):
            log(ignored)
        chosen = self._with_replay(job, log)
        tokenized = self._tokenize(base.tokenizer, chosen)
        held_out = drop_long(tokenize(base.tokenizer, job.dev), self._config.max_length)
        unfinished = job.folder / f".{job.name}.tuning"
        identity = self._identity(base, job, chosen)
        checkpoint = Checkpoint(unfinished, identity, self._config.checkpoint_s)
        model = with_adapter(config, base, job.parent, job.seed)
        loop = TrainingLoop(model, config, self._optimizer, job.seed, self.objective)
        before = adapter_weights(model, config.save_dtype)
        try:
            with clear_memory("learning.tokens_per_batch", "Lower it, or learning.max_length."):
                points = loop.run(tokenized, held_out, checkpoint, on_point, log)
            check_changed(before, adapter_weights(model, config.save_dtype))
            adapter = self._record(base, job, len(tokenized), points, len(held_out))
            facts = {
                "name": job.name,
                "base": base.facts,
                "learning": self.facts,
                "seed": job.seed,
                "pairs": len(tokenized),
                "pairs_given": len(job.pairs),
                "pairs_too_long": len(chosen) - len(tokenized),
                "held_out_pairs": len(held_out),
            }
            new = {pair_hash(pair) for pair in chosen if pair.advantage >= 0}
            learned = (job.learned_before or set()) | new

            def write_beside(draft: Path) -> None:
                write_curve(points, facts, draft)
                write_learned(learned, draft)

            adapter = save_adapter(model, adapter, target, config.save_dtype, write_beside)
        except LearningFailed:
            checkpoint.remove()
            raise
        finally:
            base.model = model.unload()
        checkpoint.remove()
        return adapter

    def _base(self) -> LoadedBase:
        """Return the LLM's base without an adapter, or load the base that `learning.base` names."""
        if isinstance(self._llm, SharesBase):
            self._llm.use_adapter(None)
            shared: LoadedBase = self._llm.base
            return shared
        loaded = load_training_base(self._config, self._llm_config)
        self._prepare(loaded)
        return loaded

    def _prepare(self, base: LoadedBase) -> None:
        check_settings(self._config, base)
        use_liger(base.model)

    def _with_replay(self, job: SFTJob, log: Log) -> Sequence[TrainingPair]:
        """Return all pairs, or with `learning.replay` the new ones and a sample of the others.

        Raises:
            LearningFailed: the parent has learned all pairs, and none is replayed.
        """
        replay, learned = self._config.replay, job.learned_before
        if replay is None or learned is None:
            return job.pairs
        chosen = with_replay(job.pairs, learned, replay, job.seed)
        new = sum(pair_hash(pair) not in learned for pair in chosen)
        log(f"Pairs: {new:,} new, {len(chosen) - new:,} replayed.")
        if not chosen:
            raise LearningFailed("there is nothing new to learn", where="learning.replay")
        return chosen

    def _tokenize(self, tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[TokenizedPair]:
        """Tokenise the pairs, and drop those that are too long. Raises: LearningFailed."""
        tokenized = drop_long(tokenize(tokenizer, pairs), self._config.max_length)
        if not tokenized:
            where = f"learning.max_length: {self._config.max_length}"
            raise LearningFailed(f"none of the {len(pairs)} training pairs fits", where=where)
        return tokenized

    def _of(self, job: SFTJob) -> LearningConfig:
        """Return the settings that a job trains with: a parent keeps its shape."""
        return inherited(self._config, job.parent)

    def _record(
        self,
        base: LoadedBase,
        job: SFTJob,
        pairs: int,
        points: Sequence[CurvePoint],
        held_out: int,
    ) -> Adapter:
        losses = [point.loss for point in points if point.loss is not None]
        return Adapter(
            name=job.name,
            path="",
            base=base.name,
            base_digest=base.digest,
            parent=job.parent.name if job.parent else None,
            corpus_hash=corpus_hash(job.pairs),
            pairs=pairs,
            tokens=points[-1].tokens,
            loss_first=losses[0],
            loss_last=losses[-1],
            seconds=points[-1].seconds,
            settings=self._of(job).model_dump_json(),
            held_out=held_out,
            held_out_first=points[0].held_out,
            held_out_last=points[-1].held_out,
        )

    def _identity(self, base: LoadedBase, job: SFTJob, chosen: Sequence[TrainingPair]) -> str:
        """Return a hash of all inputs of a training; only an equal checkpoint is resumed."""
        parent = job.parent
        inputs = [
            base.name,
            base.digest,
            str(base.model.dtype),
            self._optimizer,
            corpus_hash(chosen),
            corpus_hash(job.dev),
            [parent.name, parent.corpus_hash] if parent else None,
            job.seed,
            self._of(job).model_dump(mode="json", exclude=_NOT_LEARNED),
            _SCHEDULE,
            *self.objective.facts,
        ]
        return hashlib.sha256(canonical_json(inputs).encode()).hexdigest()


_SCHEDULE = "warm-up of at most a tenth"
"""The schedule's rule; a checkpoint of an older one is not resumed."""

_NOT_LEARNED = {"enabled", "learner", "options", "start", "min_pairs", "held_out"} | {
    "select",
    "corpus",
    "corpus_limit",
    "warm_up",
    "checkpoint_s",
}
"""Keys of `learning` that do not affect how pairs are trained."""


def _same_settings(settings: str, now: LearningConfig) -> bool:
    """Return True if an adapter's settings, perhaps of an older nngpt, train the same way."""
    try:
        before = LearningConfig.model_validate_json(settings)
    except ValidationError:
        return False
    ignored = _NOT_LEARNED - {"learner", "options"}
    return before.model_dump(exclude=ignored) == now.model_dump(exclude=ignored)


def use_liger(model: Any) -> None:
    """Replace the model's norms, gates and rotary embedding by Liger's, where installed.

    Call this before the model writes anything: the last bits differ, and a run that has trained
    must write the same answers as one that was resumed. The loss stays our own.
    """
    if _has_liger(model.device.type):
        from transformers.integrations.liger import apply_liger_kernel

        apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})


def _has_liger(device: str) -> bool:
    return device == "cuda" and find_spec("liger_kernel") is not None


def kernel_names(device: str) -> str:
    """Name the kernels in use, such as ", Liger kernels, FlashAttention"; "" for none."""
    known = (("Liger kernels", _has_liger(device)), ("FlashAttention", has_flash_attention(device)))
    return "".join(f", {name}" for name, used in known if used)
