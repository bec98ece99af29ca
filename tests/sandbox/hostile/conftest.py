"""Runs a hostile candidate and looks at what it left behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_samples import NAME, SEED, left_over, scores, written
from sandbox_fixtures import splits, start
from sandbox_samples import candidate

from nngpt.data.splits import Splits
from nngpt.records import Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor

__all__ = ["splits", "start"]

Attack = Callable[..., Evaluation | Refusal]


@pytest.fixture(scope="session", autouse=True)
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Things to steal: a variable of the environment and files here and there."""
    files = {
        "temporary": tmp_path_factory.mktemp("secrets") / "secret",
        "home": Path.home() / f".{NAME}-secret",
        "working folder": Path.cwd() / f".{NAME}-secret",
    }
    for path in files.values():
        path.write_text("secret")
    os.environ["NNGPT_SECRET"] = "secret"
    yield files
    for path in files.values():
        path.unlink()


@pytest.fixture(scope="session")
def honest_scores(start: Callable[..., LocalExecutor]) -> list[tuple[float, int]]:
    return scores(start().evaluate(candidate(), SEED))


@pytest.fixture
def attack(
    start: Callable[..., LocalExecutor],
    splits: Splits,
    honest_scores: list[tuple[float, int]],
    tmp_path: Path,
) -> Attack:
    """Evaluates a hostile network; after it nothing is alive, written, or different."""

    def attack(code: str, transform: str = "norm", **settings: object) -> Evaluation | Refusal:
        executor = start(**settings)
        folders = [tmp_path, Path.cwd(), splits.train.labels.parent]
        before = [sorted(folder.rglob("*")) for folder in folders[::2]]
        result = executor.evaluate(candidate(code, transform=transform), SEED)
        assert left_over(executor) == []
        assert [path for path in written(*folders) if not path.name.startswith(f".{NAME}")] == []
        assert [sorted(folder.rglob("*")) for folder in folders[::2]] == before
        if isinstance(result, Refusal):
            assert len(result.reason) <= 300
            assert len(result.detail) <= 2000
            assert all(c == "\n" or c.isprintable() for c in result.reason + result.detail)
        assert scores(executor.evaluate(candidate(), SEED))[:1] == honest_scores
        return result

    return attack
