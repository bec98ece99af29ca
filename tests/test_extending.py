"""Run what docs/extending.md says: every file on the page, as plug-ins outside the package."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import ROOT, run_nngpt

from nngpt import config, files, plugins
from nngpt.config import Config
from nngpt.errors import ConfigError
from nngpt.novelty.measures.none import NoMeasure
from nngpt.protocols import (
    LLM,
    DatasetSource,
    DedupLevel,
    Executor,
    HPOEngine,
    Learner,
    NoveltyMeasure,
    PromptMode,
    Reward,
    Tracker,
)
from nngpt.records import Completion, Refusal, Rollout, Stage, Task, TrackedRun
from nngpt.store import Store

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w/]+\.\w+)`\n\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
PROTOCOLS = {
    "data set": DatasetSource,
    "LLM backend": LLM,
    "prompt mode": PromptMode,
    "executor": Executor,
    "novelty measure": NoveltyMeasure,
    "learner": Learner,
    "reward": Reward,
    "dedup level": DedupLevel,
    "HPO engine": HPOEngine,
    "tracker": Tracker,
}
TASK = Task("stripes", (1, 1, 8, 8), (4,), 0.5)
NETWORK = FILES["answers/one.txt"].replace("<net>", "").replace("</net>", "")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which holds all files of the page and can be imported from."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_lists_every_kind_with_its_folder() -> None:
    rows = re.findall(r"^\| ([\w ]+) \| .*? \| `([\w/]+)/` \|", PAGE, re.MULTILINE)
    folders = {kind: f"nngpt.{folder.replace('/', '.')}" for kind, folder in rows}
    assert folders == plugins.KINDS
    assert set(PROTOCOLS) == set(plugins.KINDS)


def test_the_page_gives_the_signatures_of_the_built_in_plugins() -> None:
    rows = re.findall(r"^\| ([\w ]+) \| .*? \| `\(.*?\) -> (\w+)` \|$", PAGE, re.MULTILINE)
    assert dict(rows) == {k: p.__name__ for k, p in PROTOCOLS.items()}


def test_a_run_uses_the_six_plugins_of_the_page(page: Path) -> None:
    done = run_nngpt(page, ["cycle", "run", "mylab.yaml"], PYTHONPATH=f"{ROOT}:{page}")
    assert done.returncode == 0, done.stderr
    with Store.open(page / "runs" / files.DATABASE) as store:
        run = store.run("mylab")
        first, second = store.attempts(run.id)
        assert (first.state, first.evaluation and first.evaluation.accuracy) == ("admitted", 0.75)
        assert second.refusal is not None and second.refusal.stage is Stage.DUPLICATE
        (adapter,) = store.adapters(run.id).values()
    (learned,) = json.loads((Path(adapter.path) / "learned.json").read_text())
    assert learned.strip() == FILES["answers/one.txt"].strip()
    diary = (page / "runs/tracking/mylab-1/mylab.diary/diary.txt").read_text().splitlines()
    assert [line.split()[1:3] for line in diary] == [
        *(["candidate", "1"], ["candidate", "2"], ["cycle", "1"]),
    ]


def test_options_of_outside_plugins_are_checked_with_the_rest(page: Path) -> None:
    wrong = ["task.options.sise=8", "llm.options.path=null", "learning.options.file=[1]", "seed=-1"]
    with pytest.raises(ConfigError) as caught:
        config.load("mylab.yaml", wrong)
    line = caught.value.line()
    assert "unknown key 'task.options.sise'. Did you mean 'size'?" in line
    assert all(key in line for key in ("seed:", "llm.options.path:", "learning.options.file:"))


def test_the_measure_finds_equal_lines(page: Path) -> None:
    settings = config.load("mylab.yaml").novelty
    measure = plugins.create(
        "novelty measure", settings.measure, settings, options=settings.options
    )
    measure.add("one", "ab\ncd\ne")
    assert measure.compare("ab\ncd\nf").duplicate
    assert measure.compare("ab\nxy").jaccard == 1 / 3


def test_the_reward_prefers_brief_answers(page: Path) -> None:
    reward = plugins.create("reward", "mylab.brief", TASK, NoMeasure(), NoMeasure)
    refusal = Refusal(Stage.PARSE, "empty")
    texts = ("", "a" * 1000, "a" * 9000)
    group = [Rollout(Completion(t, "m", None, 1, 0, 0, 0, 0.0), None, refusal) for t in texts]
    assert isinstance(reward, Reward)
    assert reward.score(group) == [1.0, 0.75, 0.0]


def test_dedup_compares_on_the_level(page: Path) -> None:
    (page / "networks").mkdir()
    swapped = NETWORK.replace("in_shape[1] * in_shape[2]", "in_shape[2] * in_shape[1]")
    for name, text in {"a": NETWORK, "b": swapped}.items():
        (page / "networks" / f"{name}.py").write_text(text)
    command = ["dedup", "networks", "--levels", "mylab.calls", "--shingle", "2", "--list", "-"]
    done = run_nngpt(page, command, PYTHONPATH=f"{ROOT}:{page}")
    assert (done.returncode, done.stdout.split()) == (0, ["a.py"]), done.stderr


def test_hpo_predict_asks_the_engine(page: Path) -> None:
    (page / "net.py").write_text(NETWORK)
    command = ["hpo", "predict", "net.py", "--dataset", "mnist", "--engine", "mylab.cautious"]
    command += ["--top", "2", "--json"]
    done = run_nngpt(page, command, PYTHONPATH=f"{ROOT}:{page}")
    assert done.returncode == 0, done.stderr
    rates = [proposal["hyperparameters"]["lr"] for proposal in json.loads(done.stdout)]
    assert rates == [0.01, 0.005]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_every_example_satisfies_its_protocol(page: Path, kind: str) -> None:
    settings: Config = config.load("mylab.yaml")
    llm = plugins.create("LLM backend", "mylab.folder", settings.llm, options=settings.llm.options)
    source = plugins.create("data set", "mylab.stripes", None, options={"size": 8})
    source.prepare()
    made = {
        "data set": lambda: source,
        "LLM backend": lambda: llm,
        "prompt mode": lambda: plugins.create(kind, "mylab.tagged"),
        "executor": lambda: plugins.create(
            kind, "mylab.constant", source.splits(1, None, None), settings.evaluation, TASK
        ),
        "novelty measure": lambda: plugins.create(kind, "mylab.lines", settings.novelty),
        "learner": lambda: plugins.create(kind, "mylab.notebook", settings, llm),
        "reward": lambda: plugins.create(kind, "mylab.brief", TASK, NoMeasure(), NoMeasure),
        "dedup level": lambda: plugins.create(kind, "mylab.calls"),
        "HPO engine": lambda: plugins.create(kind, "mylab.cautious", settings),
        "tracker": lambda: plugins.create(
            kind, "mylab.diary", TrackedRun("mylab", 1, page, {}, None)
        ),
    }
    assert isinstance(made[kind](), PROTOCOLS[kind])
