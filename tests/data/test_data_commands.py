from __future__ import annotations

import json
from pathlib import Path

import data_samples as samples
import pytest
from typer.testing import CliRunner

from nngpt import plugins
from nngpt.cli import data, models
from nngpt.errors import DataError, ModelError, PluginError
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
    assert "image-folder: ready, 3×20×20, 2 classes" in result.stdout
    assert "24 pictures" in result.stderr


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
