from __future__ import annotations

import json
from pathlib import Path

import data_samples as samples
import pytest
from typer.testing import CliRunner

from nngpt import config, plugins
from nngpt.cli import data, models
from nngpt.errors import ConfigError, DataError, ModelError, PluginError
from nngpt.generation.models import embedded


def run(app, *arguments: str):
    return CliRunner().invoke(app, arguments)


def test_list_names_every_data_set(cache: Path):
    rows = json.loads(run(data.app, "list", "--json").stdout)
    assert [row["name"] for row in rows] == plugins.names("data set")
    assert not any(row["cached"] for row in rows)
    table = run(data.app, "list").stdout
    assert all(row["name"] in table for row in rows)


def test_pull_reads_a_folder_of_pictures(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures")
    result = run(data.app, "pull", "image-folder", "--root", str(root))
    assert result.exit_code == 0
    assert "image-folder: ready, 3×20×20, 2 classes: cat, dog" in result.stdout
    assert "24 images" in result.stderr


def test_the_path_of_a_folder_is_a_data_set(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    samples.write_pictures(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    for name in ("./pictures", "pictures", str(tmp_path / "pictures")):
        result = run(data.app, "pull", name, "--set", "task.image_size=16")
        assert "image-folder: ready, 3×16×16" in result.stdout, result.stderr
        task = config.load(None, [f"task.dataset={name}"]).task
        assert (task.dataset, task.root) == ("image-folder", Path(name))
    assert len(list((cache / "data").glob("image-folder-*"))) == 1
    row = json.loads(run(data.app, "list", "--json").stdout)[-1]
    assert row["name"] == str(tmp_path / "pictures") and row["images"] == 24
    missing = run(data.app, "pull", "./nowhere").exception
    assert isinstance(missing, PluginError) and "./nowhere" in str(missing)


def test_check_prints_what_it_finds_and_writes_nothing(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures")
    (root / "dog" / "bad.png").write_bytes(b"?")
    before = sorted(root.rglob("*"))
    table = run(data.app, "check", str(root)).stdout
    for text in ("cat", "12", "20×20", "JPEG 2", "PNG 22", "colour 24", "dog/bad.png is not an"):
        assert text in table
    found = json.loads(run(data.app, "check", str(root), "--json").stdout)
    assert found["parts"]["train"]["images"] == [12, 13]
    assert found["classes"] == ["cat", "dog"] and found["refused"] is None
    assert list(found["skipped"]) == ["dog/bad.png"]
    assert sorted(root.rglob("*")) == before and not cache.exists()


def test_check_of_a_refused_folder_lists_all_broken_files(cache: Path, tmp_path: Path):
    root = samples.write_pictures(tmp_path / "pictures")
    for number in range(9):
        (root / "dog" / f"bad{number}.png").write_bytes(b"?")
    result = run(data.app, "check", str(root))
    assert isinstance(result.exception, DataError)
    assert all(f"dog/bad{number}.png" in result.stdout for number in range(9))


def test_a_size_is_refused_for_images_that_have_one(cache: Path):
    error = run(data.app, "pull", "mnist", "--set", "task.image_size=32").exception
    assert isinstance(error, ConfigError) and "1×28×28" in str(error)


def test_pull_of_an_unknown_data_set_is_a_user_error(cache: Path, tmp_path: Path):
    assert isinstance(run(data.app, "pull", "mnits").exception, PluginError)
    assert isinstance(run(data.app, "pull", "svhn", "--root", str(tmp_path)).exception, DataError)


def test_models_are_listed(cache: Path):
    rows = json.loads(run(models.app, "list", "--json").stdout)
    assert {row["name"] for row in rows} == set(embedded.MODELS)
    assert all(row["path"] is None for row in rows)
    table = run(models.app, "list").stdout
    assert all(name in table for name in embedded.MODELS)


@pytest.mark.parametrize("command", ["path", "pull"])
def test_an_unknown_model_is_a_user_error(cache: Path, command: str):
    error = run(models.app, command, "smollm2").exception
    assert isinstance(error, ModelError) and "smollm2-135m" in str(error)


def test_path_of_a_missing_model_hints_how_to_get_it(cache: Path):
    error = run(models.app, "path", "smollm2-135m").exception
    assert isinstance(error, ModelError) and "nngpt models pull smollm2-135m" in str(error)
