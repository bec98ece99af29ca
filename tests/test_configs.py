"""Shipped configurations load, name existing plug-ins, and start with their command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from nngpt import config, plugins
from nngpt.config import identity_of
from nngpt.cycle import experiment
from nngpt.errors import ConfigError
from nngpt.generation.prompts import template as prompts

GRIDS = sorted(config.resource_folder("configs").glob("grids/*.yaml"))
CONFIGS = sorted(set(config.resource_folder("configs").rglob("*.yaml")) - set(GRIDS))
PAPERS = Path(__file__).parents[1] / "docs" / "papers.md"
RESULTS = sorted((Path(__file__).parents[1] / "docs" / "results").rglob("config.yaml"))


def test_there_are_configs() -> None:
    names = {file.stem for file in CONFIGS}
    assert names >= {
        "smoke-mnist",
        "paper-cifar10",
        "paper-cifar100",
        "paper-svhn",
        "cifar10-h200",
        "delta-mnist",
        "openai-chat",
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
    loaded, path = experiment.load_grid(file.stem)
    assert (loaded.name, path) == (file.stem, file)
    assert f"# nngpt experiment run {file.stem}\n" in file.read_text()
    runs = [cell.settings for cell in experiment.cells(loaded)]
    assert len({run.name for run in runs}) == len(loaded.arms) * len(loaded.seeds)


def test_the_example_for_services_needs_no_tokenizer_and_learns_nothing() -> None:
    example = config.load("openai-chat")
    assert (example.llm.backend, example.llm.options["endpoint"]) == ("openai", "chat")
    assert not example.learning.enabled and "model" not in example.llm.model_fields_set


def test_paper_configs_hold_the_constants_that_docs_list() -> None:
    rows = re.findall(
        r"^\|[^|]*\|[^|]*\| `([a-z_.]+)` \| (.+) \|$", PAPERS.read_text(), re.MULTILINE
    )
    listed = dict(rows)
    assert len(rows) == len(listed) > 35
    thresholds = yaml.safe_load(listed.pop("task.threshold"))
    for data, threshold in zip(("cifar10", "cifar100", "svhn"), thresholds, strict=True):
        paper = config.load(f"paper-{data}")
        assert (paper.task.dataset, paper.task.threshold) == (data, threshold)
        same = config.load(f"paper-{data}", [f"{key}={value}" for key, value in listed.items()])
        assert same == paper


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
    assert identity_of(first) == identity_of(more) == identity_of(rewarded) != identity_of(other)


# ---------------------------------------------------------------- options of plug-ins

MADE_BEFORE = {
    "name": "smoke-mnist",
    "llm": {
        **{"backend": "scripted", "script": "answers.jsonl", "model": "smollm2-135m"},
        **{"url": "http://127.0.0.1:8000/v1", "endpoint": "completions", "served_model": None},
        **{"api_key_env": "OPENAI_API_KEY", "timeout_s": 600, "structured": "structured_outputs"},
    },
    "evaluation": {"executor": "local", "container": [], "epochs": 1, "wall_s": 60.0},
    "novelty": {"measure": "minhash", "lsh_threshold": 0.85, "permutations": 256, "seed": 1},
}
"""Sections as a version without `options` stored them."""


@pytest.mark.parametrize(("old", "new"), config.MOVED.items())
def test_a_moved_key_is_refused_and_its_new_key_named(old: str, new: str, tmp_path: Path) -> None:
    section, key = old.split(".")
    file = tmp_path / "mine.yaml"
    file.write_text(f"{section}: {{{key}: 1}}")
    for name, overrides in ((file, []), ("smoke-mnist", [f"{old}=1"])):
        with pytest.raises(ConfigError) as error:
            config.load(name, overrides)
        assert f"{old} has moved: write {new}" in error.value.line()


def test_every_moved_key_has_a_key_or_a_plugin_with_that_option() -> None:
    kinds = {section: kind for kind, (section, _) in plugins.SECTIONS.items()}
    defaults = config.Config().model_dump()
    for new in config.MOVED.values():
        section, _, options = new.partition(".")
        if options in defaults[section]:
            continue
        options, key = options.split(".")
        kind = kinds[section]
        models = [plugins.options_model(kind, name) for name in plugins.names(kind)]
        assert options == "options" and any(key in m.model_fields for m in models if m is not None)


def test_a_configuration_stored_before_options_is_upgraded() -> None:
    now = config.load("smoke-mnist", ["llm.backend=scripted", "llm.options.script=answers.jsonl"])
    before = config.completed(MADE_BEFORE)
    assert before["llm"]["options"] == {"script": "answers.jsonl"}
    assert before["novelty"]["options"] == now.novelty.options
    upgraded = config.Config.model_validate(before).evaluation
    assert (upgraded.options, upgraded.limit_s) == ({}, "auto")  # wall time is no limit any more
    for section in ("llm", "novelty", "evaluation"):
        defaults = config.Config().model_dump(mode="json")[section]
        same = {**identity_of(now), section: {**identity_of(now)[section]}}
        assert set(identity_of(before)[section]) == set(same[section]) <= set(defaults)
    assert identity_of(before)["novelty"] == identity_of(now)["novelty"]
    llm = {"batch_size": 12}  # the file's, which the stored part leaves out
    assert {**identity_of(before)["llm"], **llm} == identity_of(now)["llm"]


def test_stored_parts_of_an_identity_are_upgraded_to_the_keys_of_now() -> None:
    now = identity_of(config.load("smoke-mnist"))
    began = {section: dict(now[section]) for section in ("task", "llm", "evaluation", "novelty")}
    for section in began.values():
        section.pop("options", None)
    began["llm"] |= {"endpoint": "completions", "served_model": None, "script": None}
    began["novelty"] |= {"measure": "minhash", **MADE_BEFORE["novelty"]}
    assert config.with_new_keys(began, now) == {section: now[section] for section in began}


def test_the_measure_that_was_called_minhash_is_the_exact_one() -> None:
    options = {"lsh_threshold": 0.85, "permutations": 256, "seed": 1}
    before = config.completed({"novelty": {"measure": "minhash", "options": options}})
    assert before["novelty"] == config.Config().model_dump(mode="json")["novelty"]
    now = config.load("smoke-mnist", ["novelty.measure=minhash"]).model_dump(mode="json")
    assert now["novelty"]["options"] == {**options, "scheme": "affine32"}
    assert config.completed(now)["novelty"] == now["novelty"]


def test_the_ablation_that_still_refused_copies_has_a_name_of_its_own() -> None:
    now = config.load("smoke-mnist", ["without=[similarity, threshold]"]).model_dump(mode="json")
    stored = {**now, "without": ["novelty", "threshold"]}
    assert config.completed(stored) == stored, "of this version"
    stored["novelty"] = {**now["novelty"], "measure": "minhash", "options": {"seed": 1}}
    assert config.completed(stored) == now


def test_options_are_part_of_the_identity_but_those_that_may_change() -> None:
    server = ["llm.backend=openai", "llm.model=m"]
    first = config.load("smoke-mnist", server)
    elsewhere = ["llm.options.url=http://there/v1", "llm.options.timeout_s=9"]
    moved = config.load("smoke-mnist", [*server, *elsewhere])
    served = config.load("smoke-mnist", [*server, "llm.options.served_model=other"])
    assert identity_of(first) == identity_of(moved) != identity_of(served)
    assert identity_of(first)["llm"]["options"] == {
        "endpoint": "completions",
        "served_model": None,
    }
    command = ["evaluation.executor=container", "evaluation.options.command=[env]"]
    assert identity_of(config.load("smoke-mnist", [*server, *command])) == identity_of(first)


def test_another_plugin_drops_the_options_of_the_one_before() -> None:
    overrides = ["novelty.options={}", "novelty.measure=none"]
    assert config.load("paper-cifar10", overrides).novelty.options == {}
    same = config.load("paper-cifar10", ["novelty.measure=minhash"])
    assert same.novelty.options["permutations"] == 256
    given = ["llm.options.script=a.jsonl", "llm.backend=scripted"]
    assert config.load("smoke-mnist", given).llm.options == {"script": "a.jsonl"}


def test_mistakes_in_options_come_with_all_others() -> None:
    wrong = ["llm.backend=opnai", "llm.options.url=x", "novelty.measure=minhash", "seed=-1"]
    with pytest.raises(ConfigError) as error:
        more = ["novelty.options.sead=2", "learning.options.rank=2", "evaluation.options=3"]
        config.load("smoke-mnist", [*wrong, *more])
    line = error.value.line()
    for said in (
        "seed: Input should be greater than or equal to 0",
        "unknown LLM backend 'opnai'. Did you mean 'openai'?",
        "unknown key 'novelty.options.sead'. Did you mean 'seed'?",
        "unknown key 'learning.options.rank'. The learner 'sft' has no options",
        "evaluation.options: Input should be a valid dictionary",
    ):
        assert said in line


@pytest.mark.parametrize("file", RESULTS, ids=lambda f: f.parent.name)
def test_the_configurations_of_published_results_load(file: Path) -> None:
    assert config.load(file).name
