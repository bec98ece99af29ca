"""Set up TRL's trainers: arguments, schedule, atomic checkpoints, and a base that is returned.

The `Trainer` writes a checkpoint file by file. Here a marker is written last, after everything else
is on the disk; a checkpoint without the marker was interrupted by a kill and is deleted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nngpt.config import LearningConfig
from nngpt.errors import UserError
from nngpt.files import sync
from nngpt.finetuning.sft.optimizer import choose_optimizer, make_schedule
from nngpt.generation.models.adapters import adapter_weights, check_changed, save_adapter
from nngpt.generation.models.loading import LoadedBase
from nngpt.records import Adapter

CHECKPOINTS = "checkpoints"
_MARKER = "complete"
_PREFIX = "checkpoint-"


def check_installed() -> None:
    """Check that TRL and its data sets library are installed. Raises: UserError."""
    for package in ("trl", "datasets"):
        if find_spec(package) is None:
            what = f"this needs the package {package}, which is not installed"
            raise UserError(what, hint="Install it: pip install trl datasets")


def trainer_arguments(
    arguments_class: type[Any],
    config: LearningConfig,
    base: LoadedBase,
    folder: Path,
    seed: int,
    **more: Any,
) -> Any:
    """Return a TRL trainer's arguments: those that all nngpt's trainers share, and `more`.

    Args:
        folder: folder of the training; checkpoints go to a folder in it.
    """
    import torch

    on_cpu = base.model.device.type == "cpu"
    bf16 = not on_cpu and torch.cuda.is_bf16_supported()
    paged = choose_optimizer(config.optimizer, on_cpu).startswith("paged")
    arguments = arguments_class(
        output_dir=str(folder / CHECKPOINTS),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        optim="paged_adamw_8bit" if paged else "adamw_torch",
        gradient_checkpointing=config.gradient_checkpointing,
        disable_dropout=True,
        bf16=bf16,
        fp16=not on_cpu and not bf16,
        use_cpu=on_cpu,
        seed=seed,
        data_seed=seed,
        save_strategy="steps",
        save_total_limit=2,
        logging_strategy="steps",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=not on_cpu,
        **more,
    )
    if arguments.n_gpu > 1:  # several would multiply the configured batch size
        arguments._n_gpu = 1
    return arguments


@contextmanager
def borrow_base(base: LoadedBase, trainer: Any) -> Iterator[None]:
    """Lend the base to a TRL trainer within the context, and restore it however that ends."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    try:
        yield
    finally:
        base.model = trainer.model.unload()
        # TRL's own forward, which computes probabilities in chunks, shadows the model's.
        vars(base.model).pop("forward", None)


def step_callback(report: Callable[[Any, Mapping[str, Any]], None]) -> Any:
    """Return a TRL callback that reports the trainer's state and figures after each step."""
    from transformers import TrainerCallback

    class StepCallback(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                report(state, logs)

    return StepCallback()


def save_trained(
    model: Any, folder: Path, base: LoadedBase, parent: Adapter | None, **lineage: Any
) -> Adapter:
    """Save a TRL trainer's adapter in `folder / "adapter"`, without the frozen reference copy.

    Args:
        lineage: the other fields of the adapter's record.
    """
    if "ref" in model.peft_config:
        model.delete_adapter("ref")
    adapter = Adapter(
        path="",
        base=base.name,
        base_digest=base.digest,
        parent=parent.name if parent else None,
        **lineage,
    )
    return save_adapter(model, adapter, folder / "adapter")


def atomic_checkpoints(trainer: type[Any]) -> type[Any]:
    """Return a subclass of a TRL trainer that marks complete checkpoints and sends no telemetry.

    It has the learning rates of `make_schedule`, and fails if it changes no weight.
    """

    class MarkingTrainer(trainer):  # type: ignore[misc]
        def train(self, *given: Any, **more: Any) -> Any:
            before = adapter_weights(self.model)
            result = super().train(*given, **more)
            check_changed(before, adapter_weights(self.model))
            return result

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            name, warmup = str(self.args.lr_scheduler_type.value), int(self.args.warmup_steps)
            optimizer = optimizer or self.optimizer
            self.lr_scheduler = make_schedule(optimizer, name, warmup, num_training_steps)
            return self.lr_scheduler

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            super()._save_checkpoint(model, trial)
            _mark(Path(self.args.output_dir) / f"{_PREFIX}{self.state.global_step}")

        def _save(self, output_dir: str | None = None, *_: Any, **__: Any) -> None:
            """Save the adapter only, without asking a model hub for the base's vocabulary."""
            folder = output_dir or self.args.output_dir
            self.model.save_pretrained(folder, save_embedding_layers=False)

        def create_model_card(self, *_: Any, **__: Any) -> None:
            """Write no card, since our adapters carry their lineage."""

        def _send_telemetry(self) -> None:
            """Send nothing."""

    return MarkingTrainer


def newest_checkpoint(folder: Path) -> tuple[str | None, int]:
    """Return a TRL training's newest complete checkpoint and its step (None, 0 without one).

    Incomplete checkpoints are deleted.
    """
    complete: dict[int, str] = {}
    for found in (folder / CHECKPOINTS).glob(f"{_PREFIX}*"):
        if (found / _MARKER).exists():
            complete[int(found.name.removeprefix(_PREFIX))] = str(found)
        else:
            shutil.rmtree(found)
    step = max(complete, default=0)
    return complete.get(step), step


def _mark(checkpoint: Path) -> None:
    """Sync a checkpoint's files to disk, then write the marker."""
    for file in [*checkpoint.rglob("*"), checkpoint]:
        sync(file)
    (checkpoint / _MARKER).touch()
    sync(checkpoint / _MARKER)
    sync(checkpoint)
