"""`nngpt learn sft` and `nngpt models merge|export`, on a tiny model folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import warm
from command_line import ROOT, TIMEOUT_S, Nngpt
from peft import PeftModel
from safetensors.torch import load_file
from test_sft_learner import learn
from tiny_folder import pairs
from transformers import AutoModelForCausalLM

from nngpt.config import LLMConfig, load
from nngpt.errors import ModelError, UserError
from nngpt.finetuning.learners.sft import LoraLearner, SFTJob
from nngpt.generation.llm.transformers import TransformersLLM, create
from nngpt.generation.models.adapters import export, merge, read_adapter
from nngpt.generation.pairs import chat_pairs
from nngpt.records import Adapter, Sampling

GREEDY = Sampling(temperature=0.0, max_new_tokens=24)
SETTINGS = {
    "learning.rank": 4,
    "learning.target_modules": "[q_proj, v_proj]",
    "learning.epochs": 6,
    "learning.batch_size": 3,
    "learning.accumulation": 1,
    "learning.checkpoint_s": 0,
    "llm.device": "cpu",
    "llm.dtype": "float32",
}


@pytest.fixture(scope="module")
def adapter(llm: TransformersLLM, tmp_path_factory: pytest.TempPathFactory) -> Adapter:
    return learn(llm, tmp_path_factory.mktemp("adapters"), pairs(), epochs=8)[0]


def write_corpora(folder: Path) -> None:
    """Two corpora of one mode each, and held-out pairs."""
    for name, chosen in (
        ("full", pairs()[::2]),
        ("features", pairs()[1::2]),
        ("dev", pairs(8)[6:]),
    ):
        lines = [
            {
                "messages": [asdict(message) for message in pair.prompt.messages],
                "mode": pair.prompt.mode,
                "prefill": pair.prompt.prefill,
                "completion": pair.completion,
            }
            for pair in chosen
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def settings(model: str) -> list[str]:
    return [f"{key}={value}" for key, value in {**SETTINGS, "llm.model": model}.items()]


def command(model: str) -> list[str]:
    files = ["--corpus", "full.jsonl", "--corpus", "features.jsonl", "--dev", "dev.jsonl"]
    sets = [part for setting in settings(model) for part in ("--set", setting)]
    return ["learn", "sft", *files, "--out", "a", "--name", "cut", *sets, "--json"]


def uninterrupted(folder: Path, model: str) -> dict[str, Any]:
    """Return the weights of the same training in this process."""
    config = load(None, settings(model))
    learned, dev = (
        [pair for name in names for pair in chat_pairs(folder / f"{name}.jsonl", "")]
        for names in (("full", "features"), ("dev",))
    )
    learner = LoraLearner(config, create(config.llm))
    job = SFTJob(learned, "whole", folder, None, config.seed, dev)
    adapter = learner.tune(job, lambda _: None, lambda _: None)
    return load_file(Path(adapter.path) / "adapter_model.safetensors")


def kill_within(folder: Path, words: list[str], file: Path) -> None:
    """Kill the command with SIGKILL as soon as `file` exists."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = warm.Started(folder, words, environment)
    try:
        while not file.exists():
            assert not process.ended, "it ended before it could be killed"
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(TIMEOUT_S)


def test_killed_it_carries_on(model: str, tmp_path: Path, nngpt: Nngpt) -> None:
    write_corpora(tmp_path)
    kill_within(tmp_path, command(model), tmp_path / "a" / ".cut.tuning" / "checkpoint.pt")
    done = nngpt(*command(model))
    assert done.returncode == 0, done.stderr
    assert "Resuming after step" in done.stderr and "held-out loss" in done.stderr
    report = json.loads(done.stdout)
    assert (report["pairs"], report["held_out_pairs"]) == (6, 2)
    assert len(report["held_out"]) == 7 and report["held_out"][-1] < report["held_out"][0]
    assert [f.name for f in (tmp_path / "a").iterdir()] == ["cut"], "no checkpoint is left"
    weights = load_file(tmp_path / "a" / "cut" / "adapter_model.safetensors")
    whole = uninterrupted(tmp_path, model)
    assert weights.keys() == whole.keys()
    assert all((weight == whole[name]).all() for name, weight in weights.items())


def test_mistakes_are_one_line(call_nngpt: Nngpt, tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl").write_text('{"completion": "x"}\n')
    for words, said in (
        (["--corpus", "none.jsonl"], "--corpus none.jsonl: cannot be read"),
        (["--corpus", "plain.jsonl"], "--corpus plain.jsonl, line 1: it has no 'messages'"),
        (["--corpus", "plain.jsonl", "--name", "a/b"], "--name: 'a/b' is not a plain name"),
        (["--corpus", "plain.jsonl", "--set", "learning.epoch=1"], "Did you mean 'epochs'?"),
    ):
        done = call_nngpt("learn", "sft", *words)
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1


def greedy_text(model: str, adapter: Adapter | None = None) -> str:
    llm = create(LLMConfig(model=model, device="cpu", dtype="float32"))
    llm.use_adapter(adapter)
    return llm.generate(pairs()[0].prompt, 1, 0, GREEDY)[0].text


def test_a_merged_model_writes_what_base_and_adapter_write(
    model: str, adapter: Adapter, tmp_path: Path
) -> None:
    folder = merge(adapter, tmp_path / "merged", "float32")
    wanted = greedy_text(model, adapter)
    assert greedy_text(str(folder)) == wanted != greedy_text(model)
    lineage = json.loads((folder / "nngpt-merged.json").read_text())
    assert lineage["adapter"]["corpus_hash"] == adapter.corpus_hash
    assert lineage["adapter"]["path"] == ""
    assert "not quantised" not in (folder / "README.md").read_text()
    assert {f.name for f in folder.iterdir()} >= {"model.safetensors", "config.json"}
    with pytest.raises(UserError, match="exists already"):
        merge(adapter, folder, "float32")


@pytest.mark.parametrize("impossible", ["/proc/none/x", "/dev/null/x"])
def test_an_export_to_an_impossible_place_is_refused(adapter: Adapter, impossible: str) -> None:
    with pytest.raises(UserError, match=f"{impossible}: cannot be written"):
        export(adapter, Path(impossible))


def test_a_merged_model_may_be_bfloat16(adapter: Adapter, tmp_path: Path) -> None:
    folder = merge(adapter, tmp_path / "merged", "bfloat16")
    weights = load_file(folder / "model.safetensors")
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.bfloat16"}


def test_a_quantised_base_is_refused(model: str, adapter: Adapter, tmp_path: Path) -> None:
    quantised = tmp_path / "quantised"
    shutil.copytree(model, quantised)
    config: dict[str, Any] = json.loads((quantised / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (quantised / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"is quantised \(bitsandbytes\).*--base"):
        merge(adapter, tmp_path / "merged", "float32", str(quantised))
    assert sorted(f.name for f in tmp_path.iterdir()) == ["quantised"]


def test_an_exported_adapter_is_read_by_peft(model: str, adapter: Adapter, tmp_path: Path) -> None:
    folder = export(adapter, tmp_path / "exported", base_name=model)
    found = json.loads((folder / "adapter_config.json").read_text())
    assert found["base_model_name_or_path"] == model
    assert read_adapter(folder).path == "" and read_adapter(folder).name == adapter.name
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), folder)
    assert sum("lora_" in name for name, _ in loaded.named_parameters()) == 18
