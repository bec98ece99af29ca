"""The parts of the proof. Each yields rows of the table: what was done, and what came out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from gpu_proof.attacks import attacks
from gpu_proof.networks import CORPUS, LEVELS, answers, candidates, changes, opened, settings
from gpu_proof.without import LAYERS
from nngpt import gpus
from nngpt.cycle.doctor import check_machine
from nngpt.data.loading import data_source, load_splits
from nngpt.errors import NngptError
from nngpt.records import Candidate, Evaluation, Refusal
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.parallel import run_parallel

ROOT = Path(__file__).parents[2]
Rows = Iterator[tuple[str, str]]


def doctor(_: Namespace) -> Rows:
    """Check the machine, as `nngpt doctor` does."""
    lacking = []
    for finding in check_machine():
        print(f"{finding.what}: {finding.found} {finding.hint}")
        if finding.what.startswith("sandbox: ") and not finding.ok:
            lacking.append(finding.what.removeprefix("sandbox: "))
        elif finding.what in ("Python", "torch", "device", "cores", "sandbox level"):
            yield finding.what, finding.found
        elif finding.what == "limit of a training":
            yield finding.what, finding.found if finding.ok else f"**{finding.hint}**"
    yield "missing layers", ", ".join(lacking) or "none"
    for gpu in gpus.found():
        yield "GPU", f"{gpu}"
    if torch.cuda.is_available():
        driver = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
        done = subprocess.run(driver.split(), capture_output=True, text=True, check=False)
        yield "driver", f"{done.stdout.strip() or done.stderr.strip()}, CUDA {torch.version.cuda}"


def level(given: Namespace) -> Rows:
    """Train recorded answers at one level of the sandbox, as many at once as it chooses."""
    networks = candidates(given, given.candidates)
    with opened(given, None, "evaluation.workers=auto") as executor:
        yield f"level {given.level}: in force", executor.level
        limit_s = executor.calibrate()
        yield f"level {given.level}: limit, workers", f"{limit_s:g} s, {executor.workers}"
        started = time.monotonic()
        outcomes = trained(executor, networks)
        seconds = time.monotonic() - started
    good = {n: o.accuracy for n, o in enumerate(outcomes) if isinstance(o, Evaluation)}
    reasons = Counter(o.reason for o in outcomes if isinstance(o, Refusal))
    mean = f", mean accuracy {sum(good.values()) / len(good):.1%}" if good else ""
    yield (
        f"level {given.level}: trained",
        f"{len(good)} of {len(networks)} in {seconds:.1f} s{mean}",
    )
    for reason, count in reasons.most_common(4):
        yield f"level {given.level}: refused", f"{count} × {reason[:150]}"
    yield from _compare(given, good)


def _compare(given: Namespace, good: dict[int, float]) -> Rows:
    """Compare the accuracies with those of another level, to the last image."""
    file = Path(given.work) / "accuracies.json"
    if not file.exists():
        file.write_text(json.dumps(good))
        return
    before = {int(n): accuracy for n, accuracy in json.loads(file.read_text()).items()}
    both = good.keys() & before.keys()
    equal = sum(good[n] == before[n] for n in both)
    yield f"level {given.level}: as at the level before", f"{equal} of {len(both)} equal"


def layers(given: Namespace) -> Rows:
    """Leave out one layer after the other: which one does the device not work with?"""
    (network,) = candidates(given, 1)
    for layer in LAYERS:
        try:
            with opened(given, (layer,), "evaluation.workers=1") as executor:
                outcome = executor.evaluate(network, 1)
        except NngptError as error:
            yield f"without {layer}", f"does not open: {error.line()[:300]}"
        else:
            yield f"without {layer}", getattr(outcome, "reason", "works")


def workers(given: Namespace) -> Rows:
    """Measure trainings an hour on one device: plain ones, and those in the sandbox."""
    networks = candidates(given, max(4, given.candidates // 4))
    plain = _plain_per_hour(given, networks)
    yield "plain training, one process, no sandbox", f"{plain:,.0f} per {_unit(given)}-hour"
    for count in (1, 2, 4, 8)[: 4 if given.device == "cuda" else 2]:
        with opened(given, None, f"evaluation.workers={count}") as executor:
            executor.calibrate()
            _open_lanes(executor)
            started = time.monotonic()
            outcomes = trained(executor, networks)
            rate = 3600 * len(networks) / (time.monotonic() - started)
        refused = sum(isinstance(outcome, Refusal) for outcome in outcomes)
        lost = f", **{refused} refused**" if refused else ""
        figure = f"{rate:,.0f} per {_unit(given)}-hour, {rate / plain:.2f} × plain{lost}"
        yield f"sandbox, workers: {count}", figure


def _plain_per_hour(given: Namespace, networks: list[Candidate]) -> float:
    from evaluator import bare_training

    loaded = settings(given)
    splits = load_splits(loaded, data_source(loaded), lambda _: None)
    train = bare_training(splits, given.device)
    train(networks[0].code)
    started = time.monotonic()
    for network in networks:
        train(network.code)
    return 3600 * len(networks) / (time.monotonic() - started)


def _open_lanes(executor: LocalExecutor) -> None:
    """Open every lane, so that no start is timed."""
    bad = Candidate("raise ValueError", "", "full", {}, "norm", 64)
    with ThreadPoolExecutor(executor.workers) as threads:
        list(threads.map(lambda _: executor.evaluate(bad, 1), range(2 * executor.workers)))


def trained(executor: LocalExecutor, networks: list[Candidate]) -> list[Evaluation | Refusal]:
    """Train all networks, as many at once as the executor has workers."""
    jobs = {n: (lambda c=c: executor.evaluate(c, 1)) for n, c in enumerate(networks)}
    done = dict(run_parallel(executor, jobs))
    return [done[n] for n in range(len(networks))]


def cycle(given: Namespace) -> Rows:
    """Run a whole cycle on recorded answers: contract, training, retraining, novelty, store."""
    work = Path(given.work)
    lines = (json.dumps({"text": text}) + "\n" for text in answers(given.candidates))
    (work / "answers.jsonl").write_text("".join(lines))
    asked = [
        *changes(given),
        "llm.backend=scripted",
        f"llm.options.script={work / 'answers.jsonl'}",
        "llm.adapter=null",
        f"llm.batch_size={given.candidates}",
        f"candidates.per_cycle={given.candidates}",
        f"evaluation.sandbox={'weak' if given.level == 'weak' else 'standard'}",
        "learning.enabled=false",
        f"folder={work / 'runs'}",
    ]
    sets = [word for setting in asked for word in ("--set", setting)]
    command = [sys.executable, "-m", "nngpt", "cycle"]
    started = time.monotonic()
    done = subprocess.run([*command, "run", "demo-mnist", "--cycles", "1", *sets], check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        yield "a cycle", f"**exit status {done.returncode}** after {seconds:.0f} s"
        return
    show = [*command, "status", "--folder", str(work / "runs"), "--json"]
    text = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    (work / "status.json").write_text(text)
    (summary,) = json.loads(text)["cycles"]
    counts = {key: value for key, value in summary.items() if type(value) is int}
    found = ", ".join(f"{key} {value}" for key, value in counts.items())
    yield "a cycle of recorded answers", f"{found}; {seconds:.1f} s"


def sft(given: Namespace) -> Rows:
    """Run benchmarks/sft.py with a model of the size of the papers' smaller one, untrained."""
    model = Path(given.work) / "model"
    large = given.device == "cuda"
    _write_model(model, large)
    size = ["--pairs=64", "--batch=8", "--max-length=1536", "--row=8192", "--samples=64"]
    size += ["--tokens=256"]
    small = ["--pairs=2", "--batch=2", "--max-length=900", "--samples=2", "--tokens=8", "--steps=1"]
    command = [sys.executable, str(ROOT / "benchmarks/sft.py"), str(CORPUS), f"--model={model}"]
    process = subprocess.Popen(
        [*command, *(size if large else small)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="")
        if any(unit in line for unit in ("tokens/s", "TFLOP/s", " × ")):
            yield "sft.py", line
    if process.wait():
        yield "sft.py", f"**exit status {process.returncode}**"


def _write_model(folder: Path, large: bool) -> None:
    """Write a model with random weights and the shape of Qwen2.5-Coder 1.5B, or a tiny one."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    packed = ROOT / ".carry" / "tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(packed)
    tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28}
    heads = {"num_attention_heads": 12, "num_key_value_heads": 2}
    if not large:
        shape = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2}
    config = Qwen2Config(
        **shape,
        **heads,
        vocab_size=151_936 if large else 60_000,
        tie_word_embeddings=True,
        max_position_embeddings=32_768,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.device("cuda" if large else "cpu"):
        model = Qwen2ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)


def suite(given: Namespace) -> Rows:
    """Run the hostile suite of the tests on the device."""
    environment = {**os.environ, "NNGPT_TEST_DEVICE": given.device}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n4"]
    command += ["--maxfail=5", "-W", "ignore::DeprecationWarning", "tests/sandbox/hostile"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        print(line, end="")
        last = line.strip("= \n") or last
        if line.startswith(("FAILED", "ERROR")):
            yield "hostile suite", f"**{line.strip()[:200]}**"
    process.wait()
    yield "hostile suite", last


def _unit(given: Namespace) -> str:
    return "GPU" if given.device == "cuda" else "CPU"


PARTS: dict[str, tuple[Callable[[Namespace], Rows], int]] = {
    "doctor": (doctor, 120),
    **{f"level-{name}": (level, 90) for name in LEVELS},
    "layers": (layers, 90),
    "attacks": (attacks, 100),
    "workers": (workers, 100),
    "cycle": (cycle, 60),
    "sft": (sft, 120),
    "suite": (suite, 120),
}
"""Parts in their order, with the seconds that each may take at most."""
