"""Run hostile candidates and check that they leave nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hostile_samples import NAME, SEED, left_over, scores, written
from sandbox_fixtures import splits, start
from sandbox_samples import candidate

from nngpt.data.splits import Splits
from nngpt.records import Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor

__all__ = ["splits", "start"]

Outcome = Evaluation | Refusal
Attack = Callable[..., Outcome]
Attacks = Callable[..., dict[str, Outcome]]


@pytest.fixture(scope="session", autouse=True)
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Things to steal: an environment variable, and files in several folders."""
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
def attacks(
    start: Callable[..., LocalExecutor],
    splits: Splits,
    honest_scores: list[tuple[float, int]],
    tmp_path: Path,
) -> Attacks:
    """Evaluate hostile networks, each in a process of its own, and return the outcome of each.

    Each attack must leave no process and no file, and its refusal must be short and clean. After
    them an honest network must score exactly as before.
    """

    def attacks(
        codes: Mapping[str, str], transform: str = "norm", **settings: object
    ) -> dict[str, Outcome]:
        executor = start(**settings)
        folders = [tmp_path, Path.cwd(), splits.train.labels.parent]
        before = [sorted(folder.rglob("*")) for folder in folders[::2]]
        outcomes = {}
        for name, code in codes.items():
            outcome = executor.evaluate(candidate(code, transform=transform), SEED)
            assert left_over(executor) == [], name
            files = written(*folders)
            assert [f for f in files if not f.name.startswith(f".{NAME}")] == [], name
            assert [sorted(folder.rglob("*")) for folder in folders[::2]] == before, name
            if isinstance(outcome, Refusal):
                check_text(outcome)
            outcomes[name] = outcome
        assert scores(executor.evaluate(candidate(), SEED))[:1] == honest_scores
        return outcomes

    return attacks


@pytest.fixture
def attack(attacks: Attacks) -> Attack:
    """Evaluate one hostile network, as `attacks` does."""

    def attack(code: str, transform: str = "norm", **settings: object) -> Outcome:
        return attacks({"attack": code}, transform, **settings)["attack"]

    return attack


def check_text(refusal: Refusal) -> None:
    """Check that a refusal's text is short and printable."""
    assert len(refusal.reason) <= 300
    assert len(refusal.detail) <= 2000
    assert all(c == "\n" or c.isprintable() for c in refusal.reason + refusal.detail)
