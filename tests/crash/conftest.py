"""A warm parent for the runners, and the outcomes of undisturbed runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from crash.instant_runs import Kind
from crash.killing import Reference, Undisturbed, run_undisturbed
from crash.runner import Runners


@pytest.fixture(scope="session")
def runners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runners]:
    """Start runners that can be killed."""
    with Runners(tmp_path_factory.mktemp("runners")) as started:
        yield started


@pytest.fixture(scope="session")
def reference(runners: Runners, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Return the outcome of an undisturbed run of a kind; each kind is run once."""
    known: dict[Kind, Undisturbed] = {}

    def reference(kind: Kind) -> Undisturbed:
        if kind not in known:
            known[kind] = run_undisturbed(runners, kind, tmp_path_factory.mktemp("reference"))
        return known[kind]

    return reference
