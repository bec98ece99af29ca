"""Run the optimiser's loop: each step trains on `batch_size × accumulation` pairs, in any rows.

The loss of a step is that of its `Objective`; usually the mean over all its answer tokens. The
order of the pairs and dropout depend only on the seed and the number of the step, so an interrupted
training resumes to the same result.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from nngpt.config import LearningConfig
from nngpt.errors import LearningFailed
from nngpt.finetuning.sft.attention import can_pack, has_flash_attention, packed_attention
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.curve import CurvePoint, OnPoint
from nngpt.finetuning.sft.loss import output_weight, token_losses
from nngpt.finetuning.sft.objective import Objective
from nngpt.finetuning.sft.optimizer import make_optimizer, make_schedule
from nngpt.finetuning.sft.packing import PackedRow, SpanLengths, TokenizedPair, one_per_row, pack
from nngpt.protocols import Log

if TYPE_CHECKING:
    import torch


@dataclass
class TrainingLoop:
    """Optimiser's loop: trains the adapter weights of a `peft` model on packed rows.

    Attributes:
        optimizer: "adamw" or "paged_adamw_8bit".
        seed: seed of the order of the pairs and of dropout.
        objective: what a step minimises.
        points: loss curve so far.
    """

    model: Any
    settings: LearningConfig
    optimizer: str
    seed: int
    objective: Objective = field(default_factory=Objective)
    points: list[CurvePoint] = field(default_factory=list)

    def run(
        self,
        pairs: Sequence[TokenizedPair],
        held_out: Sequence[TokenizedPair],
        checkpoint: Checkpoint,
        on_point: OnPoint,
        log: Log,
    ) -> list[CurvePoint]:
        """Train for all epochs, from the checkpoint if there is one, and return the loss curve.

        Raises:
            LearningFailed: the loss is not finite.
        """
        self._prepare(pairs, held_out)
        try:
            with ExitStack() as stack:
                if self._packed:
                    stack.enter_context(packed_attention(self._base))
                if self.settings.gradient_checkpointing:
                    stack.enter_context(_recompute_activations(self._base))
                if self.objective.compares:
                    self._measure_start()
                state = checkpoint.read(log)
                if state is not None:
                    self._restore(state)
                    log(f"Resuming after step {self._step} of {self._steps}.")
                self._train(checkpoint, on_point)
        finally:
            self.model.eval()
        return self.points

    def _prepare(self, pairs: Sequence[TokenizedPair], held_out: Sequence[TokenizedPair]) -> None:
        """Create optimiser and schedule, and reset all counters."""
        import torch

        self._base = base = self.model.get_base_model()
        self._output_weight = output_weight(base)
        self._pairs, self._held_out = pairs, held_out
        self._start: dict[TokenizedPair, torch.Tensor] = {}
        self._packed = self.settings.packing and can_pack(base)
        self._device: torch.device = base.device
        self._dtype = _autocast_dtype(base)
        self._weights = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._group = self.settings.batch_size * self.settings.accumulation
        self._per_epoch = math.ceil(len(pairs) / self._group)
        self._steps = self.settings.epochs * self._per_epoch
        self._adam = make_optimizer(self.optimizer, list(self._weights.values()), self.settings)
        schedule = self.settings.schedule, self.settings.warmup_steps
        self._schedule = make_schedule(self._adam, *schedule, self._steps)
        # Only float16 needs its small gradients scaled up.
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self._dtype == torch.float16)
        self._step, self._between_updates = 0, False
        self._seconds_before, self._started = 0.0, time.monotonic()

    def _measure_start(self) -> None:
        """Switch dropout off, and measure the losses of all answer tokens before the first step."""
        import torch

        for module in self.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.model.eval()
        with torch.no_grad():
            for pairs, rows in self._parts(self._pairs):
                losses = torch.split(self._losses(rows), [pair.answered for pair in pairs])
                self._start |= zip(pairs, losses, strict=True)

    def _train(self, checkpoint: Checkpoint, on_point: OnPoint) -> None:
        """Take the remaining steps; save the state when due and when interrupted by the user."""
        if not self.points:
            self._add_point(on_point, None, (0, 0), self._held_out_loss())
        try:
            while self._step < self._steps:
                self._one_step(on_point)
                if checkpoint.due:
                    checkpoint.write(self._state())
        except KeyboardInterrupt:
            if self._between_updates:
                checkpoint.write(self._state())
            raise

    def _one_step(self, on_point: OnPoint) -> None:
        import torch

        # Dropout depends on the step alone, so checkpoints hold no random state.
        torch.manual_seed((self.seed << 24) + self._step)
        self._between_updates = True
        chosen = self._pairs_of_step(self._step)
        parts, size = self._parts(chosen), self.objective.size(chosen)
        self.model.train()
        self._adam.zero_grad()
        total = torch.zeros((), device=self._device)
        for pairs, rows in parts:
            start = [self._start[pair] for pair in pairs] if self.objective.compares else []
            known = torch.cat(start) if start else torch.empty(0)
            part = self.objective.loss(self._losses(rows), known, pairs) / size
            scaled: Any = self._scaler.scale(part)
            scaled.backward()
            total += part.detach()
        loss = total.item()
        if not math.isfinite(loss):
            raise LearningFailed("the loss diverged", where=self.objective.rate)
        self._between_updates = False
        self._update()
        epoch_ends = self._step % self._per_epoch == 0
        read = sum(len(row.ids) for _, rows in parts for row in rows)
        counts = (sum(pair.answered for pair in chosen), read)
        self._add_point(on_point, loss, counts, self._held_out_loss() if epoch_ends else None)

    def _update(self) -> None:
        import torch

        self._scaler.unscale_(self._adam)
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.settings.max_grad_norm)
        self._scaler.step(self._adam)
        self._scaler.update()
        self._schedule.step()
        self._step += 1

    def _pairs_of_step(self, step: int) -> list[TokenizedPair]:
        """Return a step's pairs: each epoch takes all pairs in a new order."""
        epoch, place = divmod(step, self._per_epoch)
        order = list(range(len(self._pairs)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        chosen = order[place * self._group : (place + 1) * self._group]
        return [self._pairs[i] for i in chosen]

    def _parts(
        self, pairs: Sequence[TokenizedPair]
    ) -> list[tuple[Sequence[TokenizedPair], list[PackedRow]]]:
        """Divide pairs into parts with one backward pass each: pairs, and rows of their answers."""
        if self._packed:
            return [(row.pairs, [row]) for row in pack(pairs, self.settings.tokens_per_batch)]
        return [([pair], one_per_row(pair)) for pair in pairs]

    def _losses(self, rows: Sequence[PackedRow]) -> torch.Tensor:
        """Return the loss of each answer token of some rows, in order."""
        import torch

        return torch.cat([self._loss(row) for row in rows])

    def _loss(self, row: PackedRow) -> torch.Tensor:
        """Return the loss of each of a row's answer tokens; only these pass the output layer."""
        import torch

        ids, positions, sources, targets = row.tensors(self._device)
        given: dict[str, Any] = {"input_ids": ids, "position_ids": positions, "use_cache": False}
        if self._packed:
            given["spans"] = row.spans
            if has_flash_attention(self._device.type):
                given["lengths"] = SpanLengths.of(row.spans, self._device)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            if self._output_weight is not None:
                hidden = self._base.get_decoder()(**given).last_hidden_state[0]
                return token_losses(hidden[sources], self._output_weight, targets)
            logits = self._base(**given, logits_to_keep=sources).logits[0].float()
            return torch.nn.functional.cross_entropy(logits, targets, reduction="none")

    def _held_out_loss(self) -> float | None:
        """Return the mean loss per held-out answer token without dropout; None without pairs."""
        import torch

        if not self._held_out:
            return None
        self.model.eval()
        with torch.inference_mode():
            parts = self._parts(self._held_out)
            total = sum(self._losses(rows).sum().item() for _, rows in parts)
        return total / sum(pair.answered for pair in self._held_out)

    def _add_point(
        self, on_point: OnPoint, loss: float | None, more: tuple[int, int], held_out: float | None
    ) -> None:
        """Add a point to the curve and report it.

        Args:
            more: answer tokens and all tokens of the step.
        """
        tokens, read = (self.points[-1].tokens, self.points[-1].read) if self.points else (0, 0)
        seconds = self._seconds_before + time.monotonic() - self._started
        point = CurvePoint(
            self._step, self._steps, tokens + more[0], read + more[1], seconds, loss, held_out
        )
        self.points.append(point)
        self._between_updates = True  # on_point may raise KeyboardInterrupt
        on_point(point)

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
        self.points = [CurvePoint(**point) for point in state["points"]]
        self._seconds_before = self.points[-1].seconds if self.points else 0.0


@contextmanager
def _recompute_activations(model: Any) -> Iterator[None]:
    """Let the SFT loop recompute activations instead of keeping them (gradient checkpointing)."""
    # Older versions of transformers know only one name, version 6 will know only the other.
    known = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{known}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{known}_checkpointing_disable")()


def _autocast_dtype(model: Any) -> torch.dtype | None:
    """Return the dtype in which the frozen base computes, None for float32."""
    import torch

    if model.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if model.dtype == torch.bfloat16 else None
