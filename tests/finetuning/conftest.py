"""Executors, models and the command line in this process, shared by these tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox_fixtures import splits, start
from tiny_folder import write_tiny_model

from nngpt.cli.main import main
from nngpt.config import LLMConfig
from nngpt.generation.llm.transformers import TransformersLLM, create

__all__ = ["splits", "start"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a tiny model with a real tokenizer."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def llm(model: str) -> TransformersLLM:
    """Return the tiny model as an LLM in float32."""
    return create(LLMConfig(model=model, device="cpu", dtype="float32"))


@pytest.fixture(scope="session")
def embedded_llm() -> TransformersLLM:
    """Return the embedded model as an LLM."""
    return create(LLMConfig(device="cpu"))


@pytest.fixture
def call_nngpt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in this process, in the test's folder."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["nngpt", *words])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, printed.out, printed.err)

    return call
