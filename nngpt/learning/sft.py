"""Supervised LoRA fine-tuning with `peft` and the `transformers` Trainer.

Loss on the completion only, over token ids made by the one renderer (`nngpt.llm.chat`).
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nngpt.config import Config
from nngpt.errors import LearningFailed, ModelError, nearest
from nngpt.learning.pairs import corpus_hash
from nngpt.llm import chat
from nngpt.llm.adapters import check_adapter, finished_adapter, save_adapter
from nngpt.llm.loading import LoadedBase, choose_device, clear_memory, load_base
from nngpt.protocols import LLM, OnStep
from nngpt.records import Adapter, TrainingPair

_SCHEDULES = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant_with_warmup",
}

IGNORED = -100
"""Label of tokens without loss, as in PyTorch's cross entropy."""


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
        base = self._base()
        target = folder / name
        known = finished_adapter(target, base, corpus_hash(pairs), parent)
        if known is not None and known.settings == self._config.model_dump_json():
            return known
        examples, tokens = self._examples(base.tokenizer, pairs)
        model = self._adapted(base, parent, seed)
        started = time.monotonic()
        try:
            with clear_memory("learning.max_length", "Lower it, or set gradient_checkpointing."):
                losses = self._train(model, base.tokenizer, examples, seed, on_step)
            if not all(map(math.isfinite, losses)):
                raise LearningFailed("the loss diverged", where="learning.learning_rate")
            adapter = Adapter(
                name=name,
                path="",
                base=base.name,
                base_digest=base.digest,
                parent=parent.name if parent else None,
                corpus_hash=corpus_hash(pairs),
                pairs=len(examples),
                tokens=tokens * self._config.epochs,
                loss_first=losses[0],
                loss_last=losses[-1],
                seconds=time.monotonic() - started,
                settings=self._config.model_dump_json(),
            )
            return save_adapter(model, adapter, target)
        finally:
            base.model = model.unload()

    def _base(self) -> LoadedBase:
        shared: LoadedBase | None = getattr(self._llm, "base", None)
        if shared is not None:
            self._llm.use_adapter(None)
            return shared
        source = self._config.base or self._llm.model
        loaded = load_base(self._llm_config.model_copy(update={"model": source}))
        # `learning.base` says where the weights are; the adapter belongs to the model served.
        return replace(loaded, name=self._llm.model)

    def _examples(
        self, tokenizer: Any, pairs: Sequence[TrainingPair]
    ) -> tuple[list[dict[str, list[int]]], int]:
        """Token ids with labels, longest pairs left out, and the number of answer tokens."""
        examples, tokens = [], 0
        for pair in pairs:
            prompt, completion = chat.encode_pair(tokenizer, pair)
            if len(prompt) + len(completion) > self._config.max_length:
                continue
            labels = [IGNORED] * len(prompt) + completion
            examples.append({"input_ids": prompt + completion, "labels": labels})
            tokens += len(completion)
        if not examples:
            raise LearningFailed(
                f"none of the {len(pairs)} training pairs fits",
                where=f"learning.max_length: {self._config.max_length}",
            )
        return examples, tokens

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

    def _train(
        self,
        model: Any,
        tokenizer: Any,
        examples: list[dict[str, list[int]]],
        seed: int,
        on_step: OnStep,
    ) -> list[float]:
        from transformers import PrinterCallback, Trainer

        report = _Losses(on_step)
        # The Trainer wants a folder although it saves nothing there.
        with tempfile.TemporaryDirectory(prefix="nngpt-sft-") as unused:
            trainer = Trainer(
                model=model,
                args=self._arguments(model, seed, unused),
                train_dataset=examples,
                data_collator=_Padding(tokenizer.pad_token_id),
                callbacks=[report.callback()],
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        model.eval()
        return report.losses

    def _arguments(self, model: Any, seed: int, folder: str) -> Any:
        import torch
        from transformers import TrainingArguments

        on_cpu = model.device.type == "cpu"
        config = self._config
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=config.epochs,
            per_device_train_batch_size=config.batch_size,
            gradient_accumulation_steps=config.accumulation,
            learning_rate=config.learning_rate,
            lr_scheduler_type=_SCHEDULES[config.schedule],
            warmup_steps=config.warmup_steps,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            optim=self._optimizer,
            **({"gradient_checkpointing": True} if config.gradient_checkpointing else {}),
            bf16=not on_cpu and torch.cuda.is_bf16_supported(),
            fp16=not on_cpu and not torch.cuda.is_bf16_supported(),
            logging_nan_inf_filter=False,
            use_cpu=on_cpu,
            seed=seed,
            data_seed=seed,
            save_strategy="no",
            logging_strategy="steps",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=not on_cpu,
            remove_unused_columns=False,
        )
        if arguments.n_gpu > 1:
            # Several GPUs would multiply the batch; the settings mean what they say.
            arguments._n_gpu = 1
        return arguments


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


def choose_optimizer(wanted: str, on_cpu: bool) -> str:
    """The Trainer's name of the optimizer: paged 8-bit AdamW on CUDA, plain AdamW on a CPU.

    Raises:
        ModelError: the paged one is asked for where it cannot run.
    """
    paged = not on_cpu and find_spec("bitsandbytes") is not None
    if wanted == "paged_adamw_8bit" and not paged:
        raise ModelError(
            "paged_adamw_8bit needs a CUDA device and bitsandbytes",
            where="learning.optimizer",
            mend="Use optimizer: auto, or pip install nngpt[cuda].",
        )
    return "paged_adamw_8bit" if paged and wanted != "adamw" else "adamw_torch"


class _Padding:
    """Pads a batch of examples on the right: [b, longest] ids, mask and labels."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        longest = max(len(e["input_ids"]) for e in examples)

        def padded(key: str, fill: int) -> Any:
            return torch.tensor([e[key] + [fill] * (longest - len(e[key])) for e in examples])

        lengths = [len(e["input_ids"]) for e in examples]
        mask = torch.tensor([[1] * n + [0] * (longest - n) for n in lengths])
        return {
            "input_ids": padded("input_ids", self._pad),
            "labels": padded("labels", IGNORED),
            "attention_mask": mask,
        }


class _Losses:
    """Collects the loss of every optimiser step and passes it on."""

    def __init__(self, on_step: OnStep) -> None:
        self.losses: list[float] = []
        self._on_step = on_step

    def callback(self) -> Any:
        from transformers import TrainerCallback

        report = self

        class Report(TrainerCallback):  # type: ignore[misc]
            def on_log(
                self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any
            ) -> None:
                if logs and "loss" in logs:
                    report.losses.append(float(logs["loss"]))
                    report._on_step(state.global_step, state.max_steps, float(logs["loss"]))

        return Report()
