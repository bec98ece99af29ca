"""Executors and models, shared by these tests."""

from __future__ import annotations

import pytest
from sandbox_fixtures import splits, start
from tiny_folder import write_tiny_model

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
