"""The installed wheel works away from the checkout: configs, prompts, migrations and all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel, installed."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=300)
    (wheel,) = folder.glob("nngpt-*.whl")
    site = folder / "site"
    install = ["install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True, timeout=300)
    return site


def run(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(site / "bin" / "nngpt"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_wheel_runs_a_cycle(installed: Path, tmp_path: Path, scripted: list[str]) -> None:
    where = "from nngpt import config as c; "
    where += "print(c.__file__, *map(c.resource_folder, ('configs', 'prompts')))"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert found.stdout.count(str(installed)) == 3, found.stderr

    done = run(installed, tmp_path, "cycle", "run", "smoke-mnist", "--cycles", "1", *scripted)
    assert done.returncode == 0, done.stderr
    assert "4/6" in done.stdout
    assert (tmp_path / "runs" / "nngpt.db").is_file()
