"""The order of tests, and how `pytest-xdist` shares them among its processes.

All tests of a folder run in one process, so that a session's fixtures (a finished run, a trained
predictor) are made once. The slowest folders come first, so that no process works alone at the end.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

SLOWEST = (
    "tests/cycle",
    "tests/finetuning",
    "tests/sandbox/hostile",
    "tests/crash",
    "tests/generation/llm",
    "tests/prediction/hpo",
    "tests/search",
    "tests/nasbench201",
    "tests/sandbox",
    "tests/prediction",
    "tests/cli",
    "tests/store/lemur",
    "tests/test_documented_commands.py",
    "tests/reports",
    "tests/finetuning/compare",
    "tests/retrieval",
    "tests/store",
    "tests/novelty/dedup",
    "tests/test_wheel.py",
    "tests/reports/live",
    "tests/generation/prompts",
    "tests/generation/modes",
    "tests/data",
)
"""Folders by decreasing duration; all others follow."""


def group(test: str) -> str:
    """Return the folder of a test; the file, if it lies directly in `tests`.

    >>> group("tests/cycle/test_export.py::test_x")
    'tests/cycle'
    """
    file = test.partition("::")[0]
    folder = str(PurePosixPath(file).parent)
    return file if folder == "tests" else folder


def rank(test: str) -> tuple[int, str]:
    """Return the sort key of a test's group; equal for all tests of a group."""
    found = group(test)
    return SLOWEST.index(found) if found in SLOWEST else len(SLOWEST), found


class FolderScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Give each process whole folders, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
