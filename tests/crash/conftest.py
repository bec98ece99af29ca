"""A warm parent for the runners, and what the runs come to when nobody disturbs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crash.instant_runs import Kind
from crash.killing import Peace, Undisturbed, run_undisturbed
from crash.runner import Runners


@pytest.fixture(scope="session")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runners]:
    """Starts runners that can be killed."""
    with Runners(tmp_path_factory.mktemp("runners")) as started:
        yield started


@pytest.fixture(scope="session")
def peace(runners: Runners, tmp_path_factory: pytest.TempPathFactory) -> Peace:
    """What a kind of run comes to; each is run once."""
    known: dict[Kind, Undisturbed] = {}

    def peace(kind: Kind) -> Undisturbed:
        if kind not in known:
            known[kind] = run_undisturbed(runners, kind, tmp_path_factory.mktemp("peace"))
        return known[kind]

    return peace
