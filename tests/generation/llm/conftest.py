"""A tiny model, loaded once."""

from __future__ import annotations

import pytest
from finetuning.tiny_folder import write_tiny_model

from nngpt.config import LLMConfig
from nngpt.generation.models.loading import LoadedBase, load_base


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a tiny model with random weights and the embedded model's tokenizer."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny(tiny_folder: str) -> LoadedBase:
    """Load the tiny model in float32 on the CPU."""
    return load_base(LLMConfig(model=tiny_folder, device="cpu", dtype="float32"))
