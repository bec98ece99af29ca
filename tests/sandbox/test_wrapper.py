"""Executors whose zygote a wrapper starts; each needs its program."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sandbox_samples import HONEST, candidate, make_task

from nngpt import plugins
from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.errors import UserError
from nngpt.protocols import Executor
from nngpt.records import Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_wraps_all_other_layers(splits: Splits, tmp_path: Path) -> None:
    settings = EvaluationConfig(device="cpu", workers=1)
    with plugins.create("executor", "bubblewrap", splits, settings, make_task()) as executor:
        assert "landlock" in executor.level
        assert executor.level.endswith(", bubblewrap")
        result = executor.evaluate(candidate(), 1)
        assert isinstance(result, Evaluation), result
        assert result.accuracy > 0.9
        secret = tmp_path / "secret"
        secret.write_text("secret")
        reads = f"open({str(secret)!r})\n" + HONEST
        refusal = executor.evaluate(candidate(reads), 1)
        assert isinstance(refusal, Refusal)
        assert "FileNotFoundError" in refusal.reason


def test_a_wrapper_runs_the_zygote_with_descriptor_3(splits: Splits) -> None:
    """`env` takes the place of a container engine: it runs a program and passes descriptors on."""
    settings = EvaluationConfig(device="cpu", workers=1)
    with _container(splits, settings, "env", "-u", "NOTHING") as executor:
        assert executor.level.endswith(", container")
        assert isinstance(executor.evaluate(candidate(), 1), Evaluation)


def test_a_missing_command_is_a_user_error(splits: Splits) -> None:
    settings = EvaluationConfig(device="cpu")
    with pytest.raises(UserError, match=r"evaluation\.options\.command: is empty"):
        _container(splits, settings)
    with pytest.raises(UserError, match="'no-such-engine' is not installed"):
        _container(splits, settings, "no-such-engine", "run")


def _container(splits: Splits, settings: EvaluationConfig, *command: str) -> LocalExecutor:
    """Create the executor `container` with a command."""
    arguments, options = (splits, settings, make_task()), {"command": command}
    made: Executor = plugins.create("executor", "container", *arguments, options=options)
    return made
