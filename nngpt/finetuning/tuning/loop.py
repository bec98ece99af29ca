"""The optimiser's loop. A step learns `batch_size × accumulation` pairs, whatever the rows are.

The loss of a step is the mean over all its answer tokens. Order of the pairs and dropout depend on
the seed and the step's number alone, so a training that was interrupted goes on as if it had not
been.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nngpt.config import LearningConfig
from nngpt.errors import LearningFailed
from nngpt.finetuning.tuning.attention import can_pack, flash_attention, packed_attention
from nngpt.finetuning.tuning.checkpoint import Checkpoint
from nngpt.finetuning.tuning.curve import Point, Watch
from nngpt.finetuning.tuning.examples import Example
from nngpt.finetuning.tuning.loss import last_layer, summed_loss
from nngpt.finetuning.tuning.optimizer import make_optimizer, make_schedule
from nngpt.finetuning.tuning.packing import Lengths, Row, pack, single
from nngpt.protocols import Log

if TYPE_CHECKING:
    import torch


@dataclass
class Tuning:
    """One training of a `peft` model's adapter weights.

    Attributes:
        model: the `peft` model; its adapter weights are what is trained.
        settings: `learning` of the configuration.
        optimizer: "adamw" or "paged_adamw_8bit".
        seed: of the order of the pairs, and of dropout.
        points: the loss curve so far.
    """

    model: Any
    settings: LearningConfig
    optimizer: str
    seed: int
    points: list[Point] = field(default_factory=list)

    def run(
        self,
        examples: Sequence[Example],
        held_out: Sequence[Example],
        checkpoint: Checkpoint,
        watch: Watch,
        log: Log,
    ) -> list[Point]:
        """Train for all epochs, from the checkpoint if there is one; returns the loss curve.

        Raises:
            LearningFailed: the loss is not finite.
        """
        self._prepare(examples, held_out)
        base = self._base
        state = checkpoint.read(log)
        if state is not None:
            self._restore(state)
            log(f"Carrying on after step {self._step} of {self._steps}.")
        try:
            with (
                packed_attention(base) if self._packed else nullcontext(),
                recomputing(base) if self.settings.gradient_checkpointing else nullcontext(),
            ):
                self._go_on(checkpoint, watch)
        finally:
            self.model.eval()
        return self.points

    def _prepare(self, examples: Sequence[Example], held_out: Sequence[Example]) -> None:
        import torch

        self._base = base = self.model.get_base_model()
        self._last_layer = last_layer(base)
        self._examples, self._held_out = examples, held_out
        self._packed = self.settings.packing and can_pack(base)
        self._device: torch.device = base.device
        self._dtype = _autocast_dtype(base)
        self._weights = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._group = self.settings.batch_size * self.settings.accumulation
        self._per_epoch = math.ceil(len(examples) / self._group)
        self._steps = self.settings.epochs * self._per_epoch
        self._adam = make_optimizer(self.optimizer, list(self._weights.values()), self.settings)
        self._schedule = make_schedule(self._adam, self.settings, self._steps)
        # float16 needs its small gradients scaled up; other kinds do not.
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._step, self._between_updates = 0, False
        self._seconds_before, self._started = 0.0, time.monotonic()

    def _go_on(self, checkpoint: Checkpoint, watch: Watch) -> None:
        if not self.points:
            self._reached(watch, None, (0, 0), self._held_out_loss())
        try:
            while self._step < self._steps:
                self._one_step(watch)
                if checkpoint.due:
                    checkpoint.write(self._state())
        except KeyboardInterrupt:
            if self._between_updates:
                checkpoint.write(self._state())
            raise

    def _one_step(self, watch: Watch) -> None:
        import torch

        # Dropout depends on the step alone: nothing of it has to be remembered.
        torch.manual_seed((self.seed << 24) + self._step)
        self._between_updates = True
        rows = self._rows(self._chosen(self._step))
        answered = sum(len(row.targets) for row in rows)
        self.model.train()
        self._adam.zero_grad()
        total = torch.zeros((), device=self._device)
        for row in rows:
            part = self._loss(row) / answered
            scaled: Any = self._scaler.scale(part)
            scaled.backward()
            total += part.detach()
        loss = total.item()
        if not math.isfinite(loss):
            raise LearningFailed("the loss diverged", where="learning.learning_rate")
        self._between_updates = False
        self._update()
        epoch_ends = self._step % self._per_epoch == 0
        counts = (answered, sum(len(row.ids) for row in rows))
        self._reached(watch, loss, counts, self._held_out_loss() if epoch_ends else None)

    def _update(self) -> None:
        import torch

        self._scaler.unscale_(self._adam)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.settings.max_grad_norm)
        self._scaler.step(self._adam)
        self._scaler.update()
        self._schedule.step()
        self._step += 1

    def _chosen(self, step: int) -> list[Example]:
        """The step's examples: each epoch goes through all of them in an order of its own."""
        epoch, place = divmod(step, self._per_epoch)
        order = list(range(len(self._examples)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        chosen = order[place * self._group : (place + 1) * self._group]
        return [self._examples[i] for i in chosen]

    def _rows(self, examples: Sequence[Example]) -> list[Row]:
        return pack(examples, self.settings.tokens_per_batch) if self._packed else single(examples)

    def _loss(self, row: Row) -> torch.Tensor:
        """Summed loss of a row's answer tokens; no other token is led through the last layer."""
        import torch

        ids, positions, sources, targets = row.tensors(self._device)
        given = {"input_ids": ids, "position_ids": positions, "use_cache": False}
        given |= self._who_sees_whom(row)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            if self._last_layer is not None:
                hidden = self._base.get_decoder()(**given).last_hidden_state[0]
                return summed_loss(hidden[sources], self._last_layer, targets)
            logits = self._base(**given, logits_to_keep=sources).logits[0].float()
            return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")

    def _who_sees_whom(self, row: Row) -> dict[str, Any]:
        if not self._packed:
            return {}
        found: dict[str, Any] = {"spans": row.spans}
        if flash_attention(self._device.type):
            found["lengths"] = Lengths.of(row.spans, self._device)
        return found

    def _held_out_loss(self) -> float | None:
        """Mean loss of a held-out answer token, without dropout; None if nothing is held out."""
        import torch

        if not self._held_out:
            return None
        self.model.eval()
        with torch.inference_mode():
            rows = self._rows(self._held_out)
            total = sum(self._loss(row).item() for row in rows)
        return total / sum(len(row.targets) for row in rows)

    def _reached(
        self, watch: Watch, loss: float | None, more: tuple[int, int], held_out: float | None
    ) -> None:
        tokens, read = (self.points[-1].tokens, self.points[-1].read) if self.points else (0, 0)
        seconds = self._seconds_before + time.monotonic() - self._started
        point = Point(
            self._step, self._steps, tokens + more[0], read + more[1], seconds, loss, held_out
        )
        self.points.append(point)
        self._between_updates = True  # whoever watches may end it here
        watch(point)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "points": [asdict(point) for point in self.points],
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._adam.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._adam.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])
        self._step = state["step"]
        self.points = [Point(**point) for point in state["points"]]
        self._seconds_before = self.points[-1].seconds if self.points else 0.0


@contextmanager
def recomputing(model: Any) -> Iterator[None]:
    """Within, activations are computed again in the backward pass instead of being kept."""
    # Older versions of transformers know one name only, version 6 will know the other only.
    known = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{known}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{known}_checkpointing_disable")()


def _autocast_dtype(model: Any) -> torch.dtype | None:
    """What the model computes in beside float32 adapter weights, None for float32 alone."""
    import torch

    if model.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if model.dtype == torch.bfloat16 else None
