"""Supervised LoRA fine-tuning with `peft`: the learner of the cycle and of `nngpt learn sft`.

Loss on the completion only, over token ids made by the one renderer (`nngpt.llm.chat`); the loop
is `nngpt.learning.tuning`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nngpt.config import Config, LearningConfig
from nngpt.errors import LearningFailed, ModelError, nearest
from nngpt.learning.pairs import corpus_hash
from nngpt.learning.tuning import Checkpoint, Example, Point, Say, Tuning, Watch, encode, fitting
from nngpt.learning.tuning.curve import write_curve
from nngpt.learning.tuning.optimizer import choose_optimizer
from nngpt.llm.adapters import check_adapter, finished_adapter, save_adapter
from nngpt.llm.loading import LoadedBase, choose_device, clear_memory, load_base
from nngpt.protocols import LLM, OnStep
from nngpt.records import Adapter, TrainingPair, canonical_json


def create(config: Config, llm: LLM) -> LoraTrainer:
    """A learner that shares the base model with `llm` where that is in this process.

    Raises:
        ModelError: the optimiser cannot run here, or the base has no such modules.
    """
    return LoraTrainer(config, llm)


class LoraTrainer:
    """Implements `nngpt.protocols.Learner`.

    Attributes:
        facts: the optimiser, for the run's first lines.
    """

    def __init__(self, config: Config, llm: LLM) -> None:
        self._config = config.learning
        self._llm = llm
        self._llm_config = config.llm
        on_cpu = choose_device(config.llm.device) == "cpu"
        self._optimizer = choose_optimizer(config.learning.optimizer, on_cpu)
        self.facts = f"LoRA rank {config.learning.rank}, {self._optimizer}"
        shared = getattr(llm, "base", None)
        if shared is not None:
            check_modules(shared, config.learning.target_modules)

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

        return self.tune(pairs, (), name, folder, parent, seed, watch, lambda _: None)

    def tune(
        self,
        pairs: Sequence[TrainingPair],
        dev: Sequence[TrainingPair],
        name: str,
        folder: Path,
        parent: Adapter | None,
        seed: int,
        watch: Watch,
        say: Say,
    ) -> Adapter:
        """`learn`, with the loss of held-out pairs measured at the start and after each epoch.

        What was interrupted goes on from its checkpoint, a hidden folder beside `folder / name`;
        what is there already is not trained again. The curve lies beside the weights.
        """
        base = self._base()
        target = folder / name
        known = finished_adapter(target, base, corpus_hash(pairs), parent)
        if known is not None and self._same_settings(known.settings):
            return known
        examples = self._examples(base.tokenizer, pairs)
        held = fitting(encode(base.tokenizer, dev), self._config.max_length)
        identity = self._identity(base, pairs, dev, parent, seed)
        unfinished = folder / f".{name}.tuning"
        checkpoint = Checkpoint(unfinished, identity, self._config.checkpoint_s)
        model = self._adapted(base, parent, seed)
        tuning = Tuning(model, self._config, self._optimizer, seed)
        try:
            with clear_memory("learning.tokens_per_batch", "Lower it, or learning.max_length."):
                points = tuning.run(examples, held, checkpoint, watch, say)
            adapter = self._record(name, base, parent, pairs, examples, points)
            facts = self._facts(adapter, len(pairs), held, seed, base)
            adapter = save_adapter(
                model,
                adapter,
                target,
                self._config.save_dtype,
                lambda draft: write_curve(points, facts, draft),
            )
        except LearningFailed:
            checkpoint.remove()
            raise
        finally:
            base.model = model.unload()
        checkpoint.remove()
        return adapter

    def _base(self) -> LoadedBase:
        shared: LoadedBase | None = getattr(self._llm, "base", None)
        if shared is not None:
            self._llm.use_adapter(None)
            return shared
        source = self._config.base or self._llm.model
        loaded = load_base(self._llm_config.model_copy(update={"model": source}))
        # `learning.base` says where the weights are; the adapter belongs to the model served.
        return replace(loaded, name=self._llm.model)

    def _examples(self, tokenizer: Any, pairs: Sequence[TrainingPair]) -> list[Example]:
        """The pairs as token ids, those that are too long left out. Raises: LearningFailed."""
        examples = fitting(encode(tokenizer, pairs), self._config.max_length)
        if not examples:
            raise LearningFailed(
                f"none of the {len(pairs)} training pairs fits",
                where=f"learning.max_length: {self._config.max_length}",
            )
        return examples

    def _adapted(self, base: LoadedBase, parent: Adapter | None, seed: int) -> Any:
        from peft import LoraConfig, PeftModel, get_peft_model
        from transformers import set_seed

        set_seed(seed)
        # Not prepare_model_for_kbit_training(): it changes the base that goes on writing.
        if parent is not None:
            check_adapter(parent, base)
            return PeftModel.from_pretrained(base.model, parent.path, is_trainable=True)
        layers = self._config.layers
        total = base.model.config.num_hidden_layers if layers else 0
        return get_peft_model(
            base.model,
            LoraConfig(
                task_type="CAUSAL_LM",
                r=self._config.rank,
                lora_alpha=self._config.alpha,
                lora_dropout=self._config.dropout,
                target_modules=list(self._config.target_modules),
                layers_to_transform=list(range(total - layers, total)) if layers else None,
            ),
        )

    def _record(
        self,
        name: str,
        base: LoadedBase,
        parent: Adapter | None,
        pairs: Sequence[TrainingPair],
        examples: Sequence[Example],
        points: Sequence[Point],
    ) -> Adapter:
        losses = [point.loss for point in points if point.loss is not None]
        return Adapter(
            name=name,
            path="",
            base=base.name,
            base_digest=base.digest,
            parent=parent.name if parent else None,
            corpus_hash=corpus_hash(pairs),
            pairs=len(examples),
            tokens=points[-1].tokens,
            loss_first=losses[0],
            loss_last=losses[-1],
            seconds=points[-1].seconds,
            settings=self._config.model_dump_json(),
        )

    def _facts(
        self,
        adapter: Adapter,
        given: int,
        held: Sequence[Example],
        seed: int,
        base: LoadedBase,
    ) -> dict[str, Any]:
        """What stands above the curve in `training.json`."""
        return {
            "name": adapter.name,
            "base": base.facts,
            "learning": self.facts,
            "seed": seed,
            "pairs": adapter.pairs,
            "pairs_too_long": given - adapter.pairs,
            "held_out_pairs": len(held),
        }

    def _identity(
        self,
        base: LoadedBase,
        pairs: Sequence[TrainingPair],
        dev: Sequence[TrainingPair],
        parent: Adapter | None,
        seed: int,
    ) -> str:
        """All that a training depends on; a checkpoint goes on only with the same."""
        made_of = [
            base.name,
            base.digest,
            str(base.model.dtype),
            self._optimizer,
            corpus_hash(pairs),
            corpus_hash(dev),
            [parent.name, parent.corpus_hash] if parent else None,
            seed,
            self._config.model_dump(mode="json", exclude=_NOT_LEARNED),
        ]
        return hashlib.sha256(canonical_json(made_of).encode()).hexdigest()

    def _same_settings(self, settings: str) -> bool:
        """True if an adapter's settings, perhaps of an older nngpt, would teach the same."""
        try:
            before = LearningConfig.model_validate_json(settings)
        except ValidationError:
            return False
        return before.model_dump(exclude=_NOT_LEARNED) == self._config.model_dump(
            exclude=_NOT_LEARNED
        )


_NOT_LEARNED = {"enabled", "learner", "start", "min_pairs", "corpus", "corpus_limit", "warm_up"} | {
    "checkpoint_s"
}
"""Keys that say which pairs are learned, and when, or how often it is saved."""


def check_modules(base: LoadedBase, wanted: Sequence[str]) -> None:
    """Raises: ModelError if the base has no layer of one of these names."""
    names = {name.rpartition(".")[2] for name, _ in base.model.named_modules()}
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ModelError(
            f"{base.name} has no layer {missing[0]!r}",
            where="learning.target_modules",
            mend=nearest(missing[0], [n for n in names if n.endswith(("proj", "attn", "fc"))]),
        )
