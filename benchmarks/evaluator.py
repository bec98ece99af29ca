"""Measure the overhead of an evaluation over its training, and candidates per minute.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/evaluator.py [--reference FOLDER] [--repeats N]

All ways train the same networks (tests/networks) on MNIST for one epoch with one thread:

bare       the training alone, in this warm process, without a sandbox
nngpt      the executor `local`, with one worker, then with one per core
fresh      a new interpreter for each candidate, as most tools do
reference  `check_nn` of nn-dataset, in one warm process, with and without its code-quality report
           of each network; FOLDER is the unpacked wheel (docs/sandbox.md)

`--device cuda` measures on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nngpt import plugins
from nngpt.config import EvaluationConfig
from nngpt.data.splits import Splits
from nngpt.records import Candidate, Evaluation, Refusal, Task
from nngpt.sandbox import transforms
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.sandbox.training_loop import TrainingData, answering_batches

ROOT = Path(__file__).parents[1]
TRAIN, VALIDATION, BATCH = 4000, 1000, 64
SMALL = ("attention", "inherited", "plain", "separable")
PAIRS = 40
PRM = {"lr": 0.01, "momentum": 0.9, "dropout": 0.1}


def main() -> None:
    """Measure all ways and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, help="folder of the unpacked nn-dataset wheel")
    parser.add_argument(
        "--reference-python", default=sys.executable, help="Python interpreter of the reference"
    )
    parser.add_argument("--repeats", type=int, default=3, help="trainings per network")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--train", type=int, default=TRAIN, help="training images")
    parser.add_argument(
        "--networks", nargs="*", default=SMALL, help="names of files in tests/networks"
    )
    given = parser.parse_args()
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {given.device}")
    splits = plugins.create("data set", "mnist", None).splits(1, given.train, VALIDATION)
    print(f"MNIST, {given.train:,} training and {VALIDATION:,} validation images, 1 epoch")
    networks = {n: (ROOT / "tests/networks" / f"{n}.py").read_text() for n in given.networks}
    bare = time_bare(splits, networks, given.repeats, given.device)
    ours = time_executor(splits, networks, given.repeats, given.device)
    fresh = time_fresh(splits, networks, given.device)
    table = {"bare": bare, "nngpt": ours, "fresh": fresh}
    if given.reference:
        table |= time_reference(splits, networks, given.reference, given.reference_python)
    print_comparison(table)
    if given.device == "cpu":
        print_overhead(splits, (ROOT / "tests/networks/inherited.py").read_text())
    print_throughput(splits, networks, given.repeats, given.device)


Times = dict[str, tuple[float, float]]
"""(median seconds, accuracy) by network."""


def time_bare(splits: Splits, networks: dict[str, str], repeats: int, device: str) -> Times:
    """Time the same training in this process."""
    train = bare_training(splits, device)
    train(next(iter(networks.values())))
    return {name: median(lambda c=code: train(c), repeats) for name, code in networks.items()}


def bare_training(splits: Splits, device: str = "cpu") -> Callable[[str], float]:
    """Return a function that trains a network in this process and returns its accuracy."""
    torch.set_num_threads(1)
    images, labels, unseen, known = (
        torch.from_numpy(np.array(array)).to(device)
        for part in ("train", "validation")
        for array in opened(splits, part)
    )
    pipeline = transforms.build("norm", splits.mean, splits.std)

    def train(code: str) -> float:
        space = sys.modules.setdefault("candidate", types.ModuleType("candidate")).__dict__
        torch.manual_seed(1)
        exec(compile(code, "candidate.py", "exec"), space)
        net = space["Net"]((1, *splits.shape), (splits.classes,), PRM, torch.device(device))
        net.to(device)
        net.train()
        net.train_setup(PRM)
        net.learn(TrainingData(images, labels, BATCH, pipeline.train, 1))
        net.eval()
        with torch.no_grad():
            parts = [net(pipeline.answer(part)) for part in answering_batches(unseen, BATCH)]
        return float((torch.cat(parts).argmax(1) == known).float().mean())

    return train


def print_overhead(splits: Splits, code: str) -> None:
    """Time executor and bare training of the fastest network alternately, both warm."""
    train = bare_training(splits)
    differences: list[float] = []
    with executor(splits, "cpu", workers=1) as runner:
        for _ in range(PAIRS):
            time.sleep(0.1)  # the next worker starts meanwhile
            contained = median(lambda: evaluate(runner, code), 1)[0]
            differences.append(1e3 * (contained - median(lambda: train(code), 1)[0]))
    low, middle, high = statistics.quantiles(differences[5:], n=4)
    print(f"overhead over bare training: median {middle:.0f} ms, ", end="")
    print(f"quartiles {low:.0f} and {high:.0f} ms of {PAIRS - 5} pairs")


def time_executor(splits: Splits, networks: dict[str, str], repeats: int, device: str) -> Times:
    """Time the executor with one worker."""
    with executor(splits, device, workers=1) as runner:
        evaluate(runner, next(iter(networks.values())))
        return {
            name: median(lambda c=code: evaluate(runner, c), repeats)
            for name, code in networks.items()
        }


def print_throughput(splits: Splits, networks: dict[str, str], repeats: int, device: str) -> None:
    """Print candidates per minute with one worker and with several."""
    codes = list(networks.values()) * (2 * repeats)
    rates = {}
    for workers in (1, (os.cpu_count() or 1) if device == "cpu" else 4):
        with executor(splits, device, workers) as runner, ThreadPoolExecutor(workers) as threads:
            list(threads.map(lambda code: evaluate(runner, code), codes[: 2 * workers]))
            started = time.perf_counter()
            list(threads.map(lambda code: evaluate(runner, code), codes))
            rates[workers] = 60 * len(codes) / (time.perf_counter() - started)
    one, *more = rates.items()
    print(f"{len(codes)} candidates: {one[1]:.0f} per minute with one worker", end="")
    for workers, rate in more:
        print(f", {rate:.0f} with {workers} ({rate / one[1]:.2f} ×)")


def time_fresh(splits: Splits, networks: dict[str, str], device: str) -> Times:
    """Time a new interpreter for each candidate."""
    files = [
        str(getattr(part, kind))
        for part in (splits.train, splits.validation)
        for kind in ("images", "labels")
    ]

    def run(code: str) -> float:
        job = json.dumps(
            {
                "code": code,
                "files": files,
                "prm": PRM,
                "batch": BATCH,
                "mean": splits.mean,
                "std": splits.std,
                "device": device,
            }
        )
        done = subprocess.run(
            [sys.executable, "-c", FRESH], input=job, capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    run(next(iter(networks.values())))
    return {name: median(lambda c=code: run(c), 1) for name, code in networks.items()}


FRESH = """
import json, sys
import numpy as np, torch
job = json.load(sys.stdin)
torch.set_num_threads(1)
torch.manual_seed(1)
device = torch.device(job["device"])
x, y, ux, uy = (torch.from_numpy(np.load(f)).to(device) for f in job["files"])
mean, std = (torch.tensor(job[k], device=device)[None, :, None, None] for k in ("mean", "std"))
norm = lambda images: (images.float() / 255 - mean) / std
import types
sys.modules["candidate"] = types.ModuleType("candidate")
space = sys.modules["candidate"].__dict__
exec(job["code"], space)
net = space["Net"]((1, *x.shape[1:]), (10,), job["prm"], device)
net.train()
net.train_setup(job["prm"])
order = torch.randperm(len(y), generator=torch.Generator().manual_seed(1)).to(device)
net.learn([(norm(x[i]), y[i]) for i in torch.split(order, job["batch"])])
net.eval()
with torch.no_grad():
    right = sum(int((net(norm(a)).argmax(1) == b).sum())
                for a, b in zip(ux.split(512), uy.split(512)))
print(right / len(uy))
"""


def time_reference(
    splits: Splits, networks: dict[str, str], folder: Path, python: str
) -> dict[str, Times]:
    """Time `check_nn`, on the same images in its own file format."""
    tools = f"{Path(python).parent}:{os.environ['PATH']}"  # the report runs flake8 and pylint
    with tempfile.TemporaryDirectory() as place:
        write_idx(splits, Path(place) / "data" / "MNIST" / "raw")
        job = json.dumps({"networks": networks, "prm": {**PRM, "batch": BATCH}})
        done = subprocess.run(
            [python, "-c", REFERENCE],
            input=job,
            text=True,
            check=False,
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(folder), "PATH": tools},
            capture_output=True,
        )
    if done.returncode:
        sys.exit(f"the reference failed:\n{done.stderr[-2000:]}")
    answers = json.loads(done.stdout.rpartition("RESULT")[2])
    return {key: {n: (t, a) for n, (t, a) in times.items()} for key, times in answers.items()}


REFERENCE = """
import json, sys, time
job = json.load(sys.stdin)
import torch
torch.set_num_threads(1)
from ab.nn.api import check_nn
from ab.nn.util import Train
def run(code):
    prm = {**job["prm"], "epoch": 1, "transform": "norm"}
    started = time.perf_counter()
    accuracy = check_nn(code, "img-classification", "mnist", "acc", prm, save_to_db=False)[1]
    return time.perf_counter() - started, accuracy
codes = job["networks"]
run(next(iter(codes.values())))
whole = {name: run(code) for name, code in codes.items()}
Train.codeEvaluator.evaluate_single_file = lambda *_: {"score": 0}
run(next(iter(codes.values())))
lean = {name: run(code) for name, code in codes.items()}
print("RESULT" + json.dumps({"check_nn": whole, "check_nn, no report": lean}))
"""


def write_idx(splits: Splits, folder: Path) -> None:
    """Write the images and labels in MNIST's file format."""
    folder.mkdir(parents=True)
    for part, name in ((splits.train, "train"), (splits.validation, "t10k")):
        images, labels = np.array(part.open_images())[:, 0], np.array(part.open_labels())
        for array, kind in ((images, "images-idx3"), (labels.astype(np.uint8), "labels-idx1")):
            header = [0x800 + array.ndim, *array.shape]
            data = np.array(header, ">u4").tobytes() + array.tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(data)


def print_comparison(table: dict[str, Times]) -> None:
    """Print seconds and accuracy of each way, and their ratios to nngpt."""
    ours = table["nngpt"]
    for way, times in table.items():
        if not times:
            continue
        each = "  ".join(f"{name} {s:.2f} s {a:.1%}" for name, (s, a) in times.items())
        total = sum(s for s, _ in times.values())
        print(f"{way:<20}{60 * len(times) / total:>6.1f} per minute   {each}")
    for way in table.keys() - {"bare", "nngpt"}:
        times = table[way]
        ratio = sum(times[n][0] for n in ours) / sum(s for s, _ in ours.values())
        apart = [times[n][1] - ours[n][1] for n in ours]
        spread = statistics.stdev(apart) / len(apart) ** 0.5
        print(f"{way}: {ratio:.1f} × the time of nngpt, ", end="")
        print(f"accuracy {statistics.mean(apart):+.2%} ± {2 * spread:.2%} (2 standard errors)")


def executor(splits: Splits, device: str, workers: int) -> LocalExecutor:
    """Return the executor."""
    settings = EvaluationConfig(device=device, workers=workers, limit_s=60)
    task = Task("mnist", (1, *splits.shape), (splits.classes,), 0.5)
    return LocalExecutor(splits, settings, task)


def evaluate(runner: LocalExecutor, code: str) -> float:
    """Return the accuracy of a network; exit if it is refused."""
    outcome = runner.evaluate(candidate(code), 1)
    if isinstance(outcome, Refusal):
        sys.exit(f"refused: {outcome}")
    assert isinstance(outcome, Evaluation)
    return outcome.accuracy


def candidate(code: str) -> Candidate:
    """Return a network as a candidate."""
    return Candidate(code, code, "full", PRM, "norm", BATCH)


def median(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return the median seconds of `work` and its last result."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        accuracy = work()
        times.append(time.perf_counter() - started)
    return statistics.median(times), accuracy


def opened(splits: Splits, part: str) -> tuple[Any, Any]:
    """Return images and labels of a part."""
    found = getattr(splits, part)
    return found.open_images(), found.open_labels()


if __name__ == "__main__":
    main()
