"""An interrupted training resumes to the same result."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import compared, examples, tiny_model

from nngpt.config import LearningConfig
from nngpt.finetuning.learners.dpo import PreferenceObjective
from nngpt.finetuning.learners.grpo import GroupObjective
from nngpt.finetuning.sft.checkpoint import Checkpoint
from nngpt.finetuning.sft.curve import CurvePoint
from nngpt.finetuning.sft.loop import TrainingLoop
from nngpt.finetuning.sft.objective import Objective

SETTINGS = LearningConfig(
    epochs=3, batch_size=2, accumulation=1, learning_rate=1e-2, warmup_steps=2
)
STEPS = 3 * 4
GIVEN = {
    Objective(): examples(),
    PreferenceObjective(0.1): compared(rivals=True),
    GroupObjective(0.1, 0.2): compared(rivals=False),
}
SFT, *_ = GIVEN


class Killed(Exception):  # noqa: N818 (no error of ours)
    """Ends a training in the middle."""


def train(
    folder: Path,
    until: int | None = None,
    error: type[BaseException] = Killed,
    objective: Objective = SFT,
) -> Any:
    """Train for `until` steps or all, and return weights, curve and log."""
    model = tiny_model(dropout=0.1)
    said: list[str] = []

    def watch(point: CurvePoint) -> None:
        if point.step == until:
            raise error

    tuning = TrainingLoop(model, SETTINGS, "adamw", 3, objective)
    checkpoint = Checkpoint(folder, "identity", 0.0)
    with suppress(Killed, KeyboardInterrupt):
        tuning.run(GIVEN[objective], examples()[:2], checkpoint, watch, said.append)
    weights = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    return weights, tuning.points, said


@pytest.mark.parametrize("objective", GIVEN, ids=["sft", "dpo", "grpo"])
@pytest.mark.parametrize(("error", "done"), [(Killed, 4), (KeyboardInterrupt, 5)])
def test_it_ends_where_an_uninterrupted_one_ends(
    tmp_path: Path, error: type[BaseException], done: int, objective: Objective
) -> None:
    weights, points, _ = train(tmp_path / "whole", objective=objective)
    train(tmp_path / "cut", until=5, error=error, objective=objective)
    again, resumed, said = train(tmp_path / "cut", objective=objective)
    assert said == [f"Resuming after step {done} of {STEPS}."]
    assert [(p.step, p.loss, p.tokens, p.held_out) for p in resumed] == [
        (p.step, p.loss, p.tokens, p.held_out) for p in points
    ]
    assert [p.held_out is not None for p in points] == [s % 4 == 0 for s in range(STEPS + 1)]
    for name, weight in weights.items():
        assert torch.equal(weight, again[name])
    seconds = [point.seconds for point in resumed]
    assert seconds == sorted(seconds)


def test_a_stop_within_a_step_loses_only_that_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C saves the state, whenever the last checkpoint was."""
    weights, _, _ = train(tmp_path / "whole")
    calls = 0
    original = TrainingLoop._loss

    def loss(self: TrainingLoop, row: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return original(self, row)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_loss", loss)
        patch.setattr(Checkpoint, "due", False)
        train(tmp_path / "cut")
    again, _, said = train(tmp_path / "cut")
    assert said and not said[0].startswith("Resuming after step 0 ")
    for name, weight in weights.items():
        assert torch.equal(weight, again[name])


def test_a_checkpoint_of_something_else_is_not_used(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", "one", 0.0)
    checkpoint.write({"step": 3})
    said: list[str] = []
    assert Checkpoint(tmp_path / "c", "one", 0.0).read(said.append) == {
        "step": 3,
        "identity": "one",
    }
    assert Checkpoint(tmp_path / "c", "two", 0.0).read(said.append) is None
    (tmp_path / "c" / "checkpoint.pt").write_bytes(b"half a file")
    assert Checkpoint(tmp_path / "c", "one", 0.0).read(said.append) is None
    assert "other settings" in said[0] and "damaged" in said[1]
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []
