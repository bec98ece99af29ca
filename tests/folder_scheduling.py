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
    "tests/prediction/hpo",
    "tests/crash",
    "tests/search",
    "tests/finetuning/compare",
    "tests/generation/llm",
    "tests/sandbox/hostile",
    "tests/generation/prompts",
    "tests/novelty/dedup",
    "tests/cli",
    "tests/test_wheel.py",
    "tests/test_documented_commands.py",
    "tests/prediction",
    "tests/sandbox",
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
