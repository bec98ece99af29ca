"""One mirror in the cache for all folders of runs; a mirror in `runs` takes precedence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Nngpt

from nngpt.store.lemur.mirror import RUNS, mirror_folder, shared_folder


def test_folders_share_the_mirror_unless_they_have_their_own(
    part: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_nngpt: Nngpt
) -> None:
    monkeypatch.setenv("NNGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    told = call_nngpt("lemur", "stats")
    assert told.returncode == 2
    assert f"{tmp_path}/cache/lemur/nngpt.db: no LEMUR mirror here" in told.stderr
    imported = call_nngpt("lemur", "import", part, "--json")
    assert imported.returncode == 0, imported.stderr
    assert not (tmp_path / "runs").exists()
    everywhere = json.loads(call_nngpt("lemur", "stats", "--json").stdout)
    assert everywhere["networks"] > 1
    assert mirror_folder() == shared_folder()
    assert call_nngpt("lemur", "import", part, "--folder", "runs").returncode == 0
    assert mirror_folder() == RUNS and mirror_folder(Path("other")) == Path("other")
