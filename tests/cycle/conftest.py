"""One finished run for all tests of the cycle's commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run_nngpt, scripted_settings


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the LLM's script, a finished run of one cycle, and its output."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = ["cycle", "run", "smoke-mnist", "--cycles", 1, *scripted_settings(folder)]
    done = run_nngpt(folder, arguments)
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout)
    return folder
