"""Plug-ins by name: what each kind offers, and clear errors for wrong names and options."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from nngpt import plugins
from nngpt.config import NoveltyConfig
from nngpt.errors import ConfigError, PluginError

NAMES = {
    "data set": [
        *("cifar10", "cifar100", "fashion-mnist", "image-folder", "mnist", "nasbench201", "svhn"),
    ],
    "LLM backend": ["mutation", "openai", "scripted", "transformers"],
    "executor": ["bubblewrap", "container", "local", "nasbench201", "outside"],
    "novelty measure": ["equal", "jaccard", "minhash", "none"],
    "learner": ["dpo", "grpo", "sft"],
    "reward": [
        *("accuracy", "build", "contract", "corpus-novelty", "forward", "group-novelty"),
        *("parameter-budget", "parse", "trains"),
    ],
    "dedup level": ["exact", "lexical", "normalised", "raw", "structural"],
    "prompt mode": ["body", "cell", "delta", "features", "full"],
    "HPO engine": ["default", "llm", "optuna", "surrogate"],
    "tracker": ["jsonl", "mlflow", "tensorboard", "wandb"],
}
PACKAGES = {"mlflow", "tensorboard", "wandb"}
"""Trackers that need the package of their name."""


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_a_folder_of_plugins_holds_plugins_only(kind: str) -> None:
    assert plugins.names(kind) == NAMES[kind]
    for name in NAMES[kind]:
        if kind == "tracker" and name in PACKAGES and find_spec(name) is None:
            with pytest.raises(PluginError, match=f"needs the package {name!r}, which is not"):
                plugins.load(kind, name)
            continue
        assert callable(plugins.load(kind, name).create)
        model = plugins.options_model(kind, name)
        assert model is None or issubclass(model, plugins.PluginOptions)


def test_wrong_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty_plugin.py").write_text("")
    (tmp_path / "needy_plugin.py").write_text("import nngpt_no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab").mkdir()
    for name in ("empty_plugin", "needy_plugin"):
        (tmp_path / f"{name}.py").rename(tmp_path / "lab" / f"{name}.py")
    messages = {
        "minhsh": "unknown novelty measure 'minhsh'. Did you mean 'minhash'?",
        "no.such": "unknown novelty measure 'no.such'. Known: equal, jaccard, minhash, none",
        "lab.empty_plugin": "the module lab.empty_plugin has no function create()",
        "lab.needy_plugin": "needs the package 'nngpt_no_such_package', which is not installed",
    }
    for name, message in messages.items():
        with pytest.raises(PluginError) as caught:
            plugins.load("novelty measure", name)
        assert message in caught.value.line()


def test_all_mistakes_in_options_come_together() -> None:
    given = {"permutation": 3, "lsh_threshold": 2}
    with pytest.raises(ConfigError) as caught:
        plugins.create("novelty measure", "minhash", NoveltyConfig(), options=given)
    line = caught.value.line()
    assert "unknown key 'novelty.options.permutation'. Did you mean 'permutations'?" in line
    assert "novelty.options.lsh_threshold: Input should be less than 1 (got 2)" in line


def test_a_plugin_without_options_refuses_any() -> None:
    with pytest.raises(ConfigError) as caught:
        plugins.create("novelty measure", "none", NoveltyConfig(), options={"x": 1})
    expected = "unknown key 'novelty.options.x'. The novelty measure 'none' has no options"
    assert caught.value.line() == expected


def test_a_plugin_without_options_is_created_without_them() -> None:
    measure = plugins.create("novelty measure", "none", NoveltyConfig())
    assert not measure.compare("anything").duplicate
