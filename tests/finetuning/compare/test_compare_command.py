"""`nngpt learn compare`: mistakes in one line, and the real model and sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import GOOD, TWO_LAYERS, Nngpt

from nngpt import config
from nngpt.cycle.comparison import source_of
from nngpt.errors import UserError
from nngpt.finetuning.compare.arms import ArmOption, make_arms, parse_arm, parse_arms
from nngpt.finetuning.compare.records import Sample, SampleOutcome, read_record
from nngpt.generation.models.adapters import save_adapter
from nngpt.generation.models.loading import load_base
from nngpt.records import Adapter

COMPARE = ("learn", "compare", "smoke-mnist", "--out", "c", "--task", "mnist")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("base", ArmOption("base", None, ())),
        ("tuned=runs/a,b", ArmOption("tuned", "runs/a,b", ())),
        ("few=base,prompt.template=few", ArmOption("few", None, ("prompt.template=few",))),
        (
            "x=a/b,prompt.template=c,sampling.top_k=1",
            ArmOption("x", "a/b", ("prompt.template=c", "sampling.top_k=1")),
        ),
    ],
)
def test_arms_as_they_are_given(text: str, option: ArmOption) -> None:
    assert parse_arm(text) == option


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "no arm to compare"),
        (["tuned"], "arm 'tuned' has no adapter"),
        (["=x"], "'' is not a name"),
        (["a b=x"], "'a b' is not a name"),
        (["base=runs/x"], "the name 'base' is reserved for the model without an adapter"),
        (["base", "x=base", "x=a"], "two arms are called 'x'"),
    ],
)
def test_mistakes_in_arms(texts: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_arms(texts)
    assert said in caught.value.line()


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["base", "x=base,seed=2"], "--arm x: an arm cannot change 'seed', which all arms share"),
        (["x=base,llm.model=other"], "cannot change 'llm'"),
        (["base", "x=base,prompt.template=body"], "--arm x: writes in body mode, but 'base' in"),
        (["x=base,sampling.temprature=1"], "'temperature'"),
        (["x=base,prompt.template=featurs"], "Did you mean 'features'?"),
    ],
)
def test_mistakes_in_an_arm_s_own_settings(texts: list[str], said: str) -> None:
    settings = config.load("smoke-mnist", ["evaluation.hyperparameters.dropout=0.2"])
    with pytest.raises(UserError) as caught:
        make_arms(settings, parse_arms(texts), [source_of(settings, "mnist")])
    assert said in caught.value.line()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--arm", "base", "--arm", "tuned=absent"), ["absent/nngpt.json", "adapter"]),
        (("--arm", "base", "--corpus", "bodies.jsonl"), ["--corpus: bodies.jsonl, line 1", "body"]),
        (("--arm", "base", "--corpus", "absent.jsonl"), ["--corpus: absent.jsonl"]),
        (("--arm", "base", "--out", "bodies.jsonl"), ["bodies.jsonl", "--out"]),
        (("--arm", "base", "--task", "minst"), ["data set 'minst'"]),
    ],
)
def test_one_line_and_nothing_written(
    call_nngpt: Nngpt, tmp_path: Path, arguments: tuple[str, ...], said: list[str]
) -> None:
    pair = {"completion": "class Net: …", "mode": "body"}
    (tmp_path / "bodies.jsonl").write_text(json.dumps(pair) + "\n")
    done = call_nngpt(*COMPARE, *arguments)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and [part for part in said if part not in lines[0]] == [], done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bodies.jsonl"]


def test_a_folder_of_another_comparison(nngpt: Nngpt, scripted: list[str], tmp_path: Path) -> None:
    arguments = (*COMPARE, *scripted, "--samples", 2, "--no-train", "--arm", "base")
    assert nngpt(*arguments).returncode == 0
    before = (tmp_path / "c" / "samples.jsonl").read_bytes()
    done = nngpt(*arguments, "--seed", 7)
    assert done.returncode == 2 and "seed was 1, is 7" in done.stderr
    assert (tmp_path / "c" / "samples.jsonl").read_bytes() == before


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes nothing, as every adapter before its first step."""
    from peft import LoraConfig, get_peft_model

    base = load_base(config.LLMConfig(device="cpu"))
    target = tmp_path_factory.mktemp("adapters") / "untrained-1-c1"
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=1, target_modules=["q_proj"], layers_to_transform=[0]
    )
    adapter = Adapter("untrained-1-c1", "", base.name, base.digest, None, "0", 1, 1, 1, 1, 1)
    save_adapter(get_peft_model(base.model, lora), adapter, target)
    return target


def test_the_real_model_and_the_real_sandbox(nngpt: Nngpt, untrained: Path, tmp_path: Path) -> None:
    """An untrained adapter writes what the base writes: no difference, and one run for both."""
    line = {"completion": GOOD, "mode": "features"}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(line) + "\n")
    settings = {
        "llm.batch_size": 2,
        "llm.device": "cpu",
        "prompt.template": TWO_LAYERS,
        "sampling.max_new_tokens": 24,
        "task.train_limit": 300,
        "task.validation_limit": 100,
        "evaluation.threads": 1,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    arms = ("--arm", "base", "--arm", f"same={untrained}", "--corpus", "corpus.jsonl")
    command = (*COMPARE, *arms, *sets, "--samples", 2)
    checked = nngpt(*command, "--check")
    assert checked.returncode == 0, checked.stderr
    assert "same writes for mnist: 2/2" in checked.stderr and "tokens/s" in checked.stderr

    trained = nngpt(*command, "--json")
    assert trained.returncode == 0, trained.stderr
    assert "writes for" not in trained.stderr, "nothing is written again"
    found = json.loads(trained.stdout)
    assert found == json.loads((tmp_path / "c" / "comparison.json").read_text())
    samples = [s for s in read_record(tmp_path / "c") if isinstance(s, Sample)]
    texts = {arm: [s.text for s in samples if s.arm == arm] for arm in ("base", "same")}
    assert len(texts["base"]) == 2 and texts["base"] == texts["same"]
    outcomes = [o for o in read_record(tmp_path / "c") if isinstance(o, SampleOutcome)]
    assert all(o.copied for o in outcomes if o.arm == "same")
    assert {c["how"] for c in found["cells"]} == {"check", "train"}
    assert all(d["difference"] == 0 for d in found["differences"])
    assert found["arms"][1]["adapter"]["name"] == "untrained-1-c1"
    assert "| base | none | features |" in (tmp_path / "c" / "comparison.md").read_text()
