"""The real embedded model, loaded once for the tests of sampling and attention."""

from __future__ import annotations

import pytest

from nngpt.config import LLMConfig
from nngpt.generation.models.loading import LoadedBase, load_base


@pytest.fixture(scope="session")
def base() -> LoadedBase:
    """Load the default model in float32 on the CPU."""
    return load_base(LLMConfig(device="cpu", dtype="float32"))
