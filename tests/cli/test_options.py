"""Options and helpers shared by the commands, and the settings with which a run may resume."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nngpt import config
from nngpt.cli.inputs import make_folder
from nngpt.cycle.doctor import free_memory
from nngpt.cycle.runner import check_same_settings
from nngpt.errors import StoreError, UserError
from nngpt.store import RunRecord, Store
from nngpt.store.folder import find_run


def start(store: Store, name: str) -> RunRecord:
    return store.start_run(name, {}, {}, seed=1)


def test_find_run_prefers_names_and_defaults_to_the_newest(tmp_path: Path) -> None:
    with Store.open(tmp_path / "nngpt.db") as store:
        with pytest.raises(StoreError, match="nngpt cycle run smoke-mnist"):
            find_run(store, None)
        first, second = start(store, "2"), start(store, "other")
        assert find_run(store, None) == second
        assert find_run(store, "2") == first, "a name comes before a number"
        assert find_run(store, "1") == first and find_run(store, "other") == second
        with pytest.raises(StoreError, match="Did you mean 'other'"):
            find_run(store, "othr")


@pytest.mark.parametrize("place", ["/proc/below", "taken", "taken/below"])
def test_make_folder_names_the_option(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError) as caught:
        make_folder(tmp_path / place, "--out")
    assert caught.value.where == str(tmp_path / place)
    assert caught.value.hint == "Choose another folder with --out"


def test_make_folder_accepts_an_existing_folder(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b", "--out")
    make_folder(tmp_path / "a" / "b", "--out")
    assert (tmp_path / "a" / "b").is_dir()


def stored_by_older(settings: config.Config, changes: Mapping[str, object]) -> dict[str, Any]:
    """Return a dumped configuration with changes; None removes a section's key."""
    dump: dict[str, Any] = settings.model_dump(mode="json")
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if value is None:
            del dump[section][name]
        else:
            dump[section][name] = value
    return dump


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run in a database."""
    with Store.open(tmp_path_factory.mktemp("runs") / "nngpt.db") as store:
        return start(store, "run")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"llm__url": "http://127.0.0.1:1/v1"}, None),
        ({"novelty__measure": "minhash", "novelty__permutations": 256}, None),
        (
            {"novelty__measure": "minhash", "novelty__options": {"scheme": "affine32"}},
            r"novelty\.measure was minhash, is jaccard",
        ),
        ({"sampling__top_k": None}, None),
        ({"sampling__temperature": 0.9}, "sampling.temperature was 0.9, is 0.2"),
        ({"sampling__heat": 0.9}, "sampling.heat was 0.9, is None"),
        ({"evaluation__hyperparameters": {"lr": 0.01}}, "hyperparameters.momentum was None"),
    ],
)
def test_a_run_resumes_only_with_its_own_settings(
    run: RunRecord, changed: dict[str, object], said: str | None
) -> None:
    settings = config.Config()
    before = replace(run, config=stored_by_older(settings, changed))
    expected = pytest.raises(UserError, match=said) if said else nullcontext()
    with expected:
        check_same_settings(before, settings)


def test_a_folder_does_not_shadow_a_shipped_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "smoke-mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert config.load("smoke-mnist").name == "smoke-mnist"


def test_free_memory_is_below_the_total() -> None:
    meminfo = Path("/proc/meminfo").read_text()
    total = int(meminfo.partition("MemTotal:")[2].split()[0]) * 1024
    assert 0 < free_memory() <= total
