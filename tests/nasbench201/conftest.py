"""A table of made-up trainings in place of the real one, which not every machine can fetch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nngpt.data import nasbench201
from nngpt.data.nasbench201 import TABLES, Table

CELLS = 5**6


def made_up() -> np.ndarray:
    """Accuracies that grow with the number of 3×3 convolutions; every other cell has two seeds."""
    random = np.random.default_rng(1)
    digits = np.array([[n // 5**place % 5 for place in range(6)] for n in range(CELLS)])
    accuracy = 10 + 12 * (digits == 3).sum(1)[:, None] + random.uniform(0, 3, (CELLS, 3))
    accuracy = np.round(accuracy * 250) / 250
    columns = [accuracy, 500 + accuracy, accuracy / 1000, accuracy / 100]
    figures = np.stack(columns, axis=2)
    figures[::2, 2] = np.nan
    return figures


@pytest.fixture(scope="session")
def figures() -> np.ndarray:
    return made_up()


@pytest.fixture
def table(figures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """The made-up table as CIFAR-10's, in a cache that holds the user's models."""
    from nngpt import files

    models = files.cache_folder() / "models"
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    if models.exists():
        (tmp_path / "cache" / "models").symlink_to(models)
    nasbench201.store("cifar10", figures)
    return Table(figures, TABLES["cifar10"].images)
