"""Every configuration that nngpt brings loads, names real parts, and says how to run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nngpt import config, plugins
from nngpt.cycle import grid
from nngpt.errors import ConfigError
from nngpt.generation.prompts import template as prompts

GRIDS = sorted(config.resource_folder("configs").glob("grids/*.yaml"))
CONFIGS = sorted(set(config.resource_folder("configs").rglob("*.yaml")) - set(GRIDS))


def test_there_are_configs() -> None:
    names = {file.stem for file in CONFIGS}
    assert names >= {
        "smoke-mnist",
        "paper-cifar10",
        "paper-cifar100",
        "paper-svhn",
        "cifar10-h200",
        "delta-mnist",
    }


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_config_loads_and_its_parts_exist(file: Path) -> None:
    settings = config.load(file)
    assert settings.name == file.stem
    assert re.match(
        rf"# nngpt (cycle run|learn rl|learn sft --config) {file.stem}\b", file.read_text()
    )
    plugins.load("data set", settings.task.dataset)
    plugins.load("LLM backend", settings.llm.backend)
    plugins.load("executor", settings.evaluation.executor)
    plugins.load("novelty measure", settings.novelty.measure)
    plugins.load("learner", settings.learning.learner)
    for reward in settings.rl.rewards:
        plugins.load("reward", reward)
    assert prompts.load(settings.prompt.template).name == settings.prompt.template


@pytest.mark.parametrize("file", GRIDS, ids=lambda f: f.stem)
def test_grid_loads_and_its_runs_do(file: Path) -> None:
    loaded, path = grid.load(file.stem)
    assert (loaded.name, path) == (file.stem, file)
    assert f"# nngpt experiment run {file.stem}\n" in file.read_text()
    runs = [cell.settings for cell in grid.cells(loaded)]
    assert len({run.name for run in runs}) == len(loaded.arms) * len(loaded.seeds)


def test_paper_configs_hold_the_papers_constants() -> None:
    for name, threshold in {"cifar10": 0.4, "cifar100": 0.2, "svhn": 0.7}.items():
        c = config.load(f"paper-{name}")
        assert (c.task.threshold, c.cycles, c.candidates.per_cycle) == (threshold, 22, 50)
        assert (c.sampling.temperature, c.sampling.top_k, c.sampling.top_p) == (0.2, 50, 0.9)
        assert (c.novelty.threshold, c.novelty.shingle) == (0.9, 10)
        assert c.novelty.options == {"lsh_threshold": 0.85, "permutations": 256, "seed": 1}
        assert (c.learning.rank, c.learning.epochs, c.learning.learning_rate) == (32, 5, 1e-5)
        assert c.learning.batch_size * c.learning.accumulation == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "sampling: {temprature: 0.2}",
            "unknown key 'sampling.temprature'. Did you mean 'temperature'?",
        ),
        ("cycels: 3", "unknown key 'cycels'. Did you mean 'cycles'?"),
        ("cycles: many", "cycles: Input should be a valid integer"),
        ("cycles: 0\nseed: -1", "seed:"),
        ("task: {threshold: 2}", "task.threshold"),
        ("- a\n- b", "must hold keys and values"),
        ("a: [1", "not valid YAML"),
        ("candidates: {per_cycle: 9, max_per_cycle: 3}", "max_per_cycle is smaller"),
        ("task: 3", "task:"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert said in error.value.line()
    assert str(file) in error.value.line()
    assert "\n" not in error.value.line()


def test_all_mistakes_of_a_file_come_together(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("cycles: 0\nsampling: {top_p: 7}\nnovlty: {}")
    with pytest.raises(ConfigError) as error:
        config.load(file)
    assert all(key in error.value.line() for key in ("cycles", "sampling.top_p", "'novelty'"))


def test_missing_file_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'smoke-mnist'"):
        config.load("smoke-minst")


def test_overrides_are_yaml_and_checked() -> None:
    changed = config.load("smoke-mnist", ["seed=7", "llm.batch_size=2", "task.max_parameters=null"])
    assert (changed.seed, changed.llm.batch_size, changed.task.max_parameters) == (7, 2, None)
    for bad in ("seed", "seed.more=1", "seed=[1", "nothing=1"):
        with pytest.raises(ConfigError):
            config.load("smoke-mnist", [bad])


def test_identity_leaves_out_what_may_change() -> None:
    first = config.load("smoke-mnist")
    more = config.load("smoke-mnist", ["cycles=9", "folder=elsewhere"])
    other = config.load("smoke-mnist", ["sampling.temperature=0.9"])
    rewarded = config.load("smoke-mnist", ["rl.steps=9", "preference.beta=0.2"])
    assert first.identity() == more.identity() == rewarded.identity() != other.identity()
