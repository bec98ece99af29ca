"""Same seed, same code, same logits on the CPU (invariant "Same seed, same result")."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sandbox_samples import candidate

from nngpt.records import Evaluation
from nngpt.sandbox.executors import local
from nngpt.sandbox.judge import Judge


@pytest.mark.parametrize("settings", [{"epochs": 2}, {"threads": 2}])
def test_the_seed_decides_every_logit(
    start: Callable[..., local.LocalExecutor],
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, int],
) -> None:
    received: list[bytes] = []

    class RecordingJudge(Judge):
        def _logits(self, payload: bytes) -> None:
            received.append(payload)
            super()._logits(payload)

    monkeypatch.setattr(local, "Judge", RecordingJudge)
    executor = start(**settings)
    for seed in (7, 7, 8):
        result = executor.evaluate(candidate(batch=64, transform="norm-crop-flip"), seed)
        assert isinstance(result, Evaluation)
    epochs = settings.get("epochs", 1)
    first, again, other = (received[i * epochs : (i + 1) * epochs] for i in range(3))
    assert first == again
    assert first != other
