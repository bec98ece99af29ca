"""The card of an exported network: origin, accuracy, limits, and how to load it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nngpt import statistics
from nngpt.data.transform_names import spec
from nngpt.records import Candidate, Exported, Result, ShownBlock
from nngpt.reports.analysis.best import BestNetwork, written_by
from nngpt.reports.sheets import Sheet, plain
from nngpt.reports.text import accuracy, plural
from nngpt.statistics import wilson
from nngpt.store import Confirmation

if TYPE_CHECKING:
    from nngpt.data.splits import Splits


LIMITS = (
    "One training with one seed: another seed gives another accuracy.",
    "The interval is that of the images; choosing the best of many makes the best look better.",
    "Parameters, operations and latency were counted by the network's own process.",
    "The code was written by a machine. nngpt ran it in a sandbox only: so should you, or read it.",
)


def card(source: BestNetwork, exported: Exported, splits: Splits, same: bool | None) -> str:
    """Return a network's card as Markdown; `same` is True if the export reproduced the accuracy."""
    candidate, run = source.candidate, source.run
    epochs = len(exported.evaluation.epochs)
    load = _how_to_load(candidate, exported, splits, epochs)
    problem = exported.onnx_problem
    parts = [
        f"# Network {candidate.content_hash}\n",
        f"Attempt {source.attempt.id} of run {run.id} ({plain(run.name)}), cycle "
        f"{source.attempt.cycle}: an image classifier in PyTorch that a machine wrote.\n",
        _section("Accuracy", [*figures(source, exported, same)]),
        _section("Training", [*training(source, exported, splits)]),
        _section("The network", [*network(source, exported)]),
        _section("Who wrote it", [*author(source)]),
        "## Load it\n",
        fenced(load, "python"),
        fenced(HOW_TO_RUN_ONNX, "python") if exported.onnx else "",
        f"There is no `network.onnx`: {plain(problem)}\n" if problem else "",
        _section("Limits", LIMITS),
        "## Transform\n\n" + fenced(candidate.transform),
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, lines: Iterable[str]) -> str:
    return f"## {title}\n\n" + "".join(f"- {line}\n" for line in lines)


def training(source: BestNetwork, exported: Exported, splits: Splits) -> Iterator[str]:
    """Yield the lines of a card on the training: data, settings and circumstances."""
    evaluation, candidate = exported.evaluation, source.candidate
    images = f"{splits.train.count:,} training images"
    yield f"{images} of {plain(splits.name)}, {splits.classes} classes"
    yield f"epochs {len(evaluation.epochs)}, batch {candidate.batch}, seed {evaluation.seed}"
    values = ", ".join(f"{plain(k)} {v:g}" for k, v in candidate.hyperparameters.items())
    yield f"hyperparameters: {values or 'none'}"
    yield f"mean {list(splits.mean)} and deviation {list(splits.std)} of the training images, 0…1"
    yield f"protocol {plain(evaluation.protocol)}"
    yield f"{evaluation.seconds:.1f} s on {evaluation.device}, sandbox {plain(evaluation.sandbox)}"


def network(source: BestNetwork, exported: Exported) -> Iterator[str]:
    """Yield the lines of a card on the network: shapes, sizes, latency, nearest known network."""
    recorded, evaluation = source.evaluation, exported.evaluation
    claimed = "" if spec(source.candidate.transform) else " (claimed)"
    yield f"input {list(exported.in_shape)} after the transform{claimed}, output logits"
    yield f"{evaluation.claimed_parameters:,} trainable parameters (claimed)"
    if evaluation.claimed_flops is not None:
        yield f"{evaluation.claimed_flops:,} operations for one image (claimed)"
    latency = recorded.claimed_latency_ms
    yield "latency not measured" if latency is None else f"{latency:.2f} ms an image (claimed)"
    if (novelty := source.attempt.novelty) is not None:
        yield f"nearest known: {plain(novelty.nearest or 'none')}, Jaccard {novelty.jaccard:.3f}"


def accuracy_95(correct: int, total: int) -> str:
    """Format an accuracy on a card: `97.0% [95.7, 97.9] of 1,000`."""
    return result_95(Result(correct / total, total))


def result_95(result: Result) -> str:
    """Format a result on a card; of fewer than four trainings, each instead of an interval."""
    return f"{accuracy(statistics.accuracy(*result))} of {result.images:,}"


def _provenance(block: ShownBlock) -> str:
    """Return a block's origin, licence and hash for the card of a network that saw it."""
    where = f"{block.target} {block.version}, licence {block.licence}"
    return f"{where}, SHA-256 of its file {block.sha256}"


def _how_to_load(candidate: Candidate, exported: Exported, splits: Splits, epochs: int) -> str:
    """Return the code on a card that loads the exported weights into the network."""
    shape, classes = exported.in_shape, splits.classes
    prm: dict[str, Any] = {**candidate.hyperparameters, "batch": candidate.batch}
    prm |= {"epoch": epochs, "transform": candidate.transform}
    pixels = ", ".join(map(str, splits.shape))
    lines = [
        "import torch",
        "from safetensors.torch import load_file",
        "",
        "from network import Net",
        "",
        f"images = torch.zeros(8, {pixels}, dtype=torch.uint8)  # yours: [b, c, h, w], 0…255",
        *_transform_lines(candidate.transform, splits),
        f"prm = {prm!r}",
        f'net = Net({shape!r}, ({classes},), prm, torch.device("cpu"))',
        "net.eval()",
        "with torch.no_grad():",
        "    net(x[:2])  # for layers that learn their sizes from what comes first",
        *(["net.train_setup(prm)  # adds tensors"] if exported.needs_setup else []),
        'net.load_state_dict(load_file("weights.safetensors"))',
        "net.eval()",
        "with torch.no_grad():",
        f"    logits = net(x)  # [b, {classes}]",
    ]
    return "\n".join(lines)


HOW_TO_RUN_ONNX = """import onnxruntime

session = onnxruntime.InferenceSession("network.onnx")
(logits,) = session.run(None, {"images": x.numpy()})  # x as above
"""


def _transform_lines(text: str, splits: Splits) -> Iterator[str]:
    mean, std = list(splits.mean), list(splits.std)
    known = spec(text)
    if known is None:
        yield "from nngpt.sandbox.transforms import build"
        yield f"x = build({text!r}, {tuple(mean)}, {tuple(std)}).answer(images)"
        return
    yield "x = images.float() / 255"
    if known.size:
        size = f"({known.size}, {known.size})"
        call = f'interpolate(x, {size}, mode="bilinear", antialias=True)'
        yield f"x = torch.nn.functional.{call}"
    if known.normalise:
        yield f"mean = torch.tensor({mean}).view(1, -1, 1, 1)"
        yield f"std = torch.tensor({std}).view(1, -1, 1, 1)"
        yield "x = (x - mean) / std"


def fenced(text: str, language: str = "") -> str:
    """Return a fenced code block for a card; its fence does not occur in `text`."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def figures(source: BestNetwork, exported: Exported, same: bool | None) -> Iterator[str]:
    """Yield the accuracies on a card, one line each."""
    recorded, again = source.evaluation.result, exported.evaluation.epochs[-1]
    several = f" ({plural(len(recorded.trainings), 'training')})" if recorded.trainings else ""
    yield f"recorded by the run: {result_95(recorded)} validation images{several}"
    plain_loop = source.attempt.retraining
    if plain_loop is not None and plain_loop.accuracy is not None:
        right = round(plain_loop.accuracy * plain_loop.total)
        yield f"trained by nngpt's own loop: {accuracy_95(right, plain_loop.total)}"
    words = {True: "exactly as recorded", False: "**not** as recorded", None: "another training"}
    yield f"these weights, as trained for this export: {accuracy_95(again.correct, again.total)}"
    yield f"that training gave the accuracies {words[same]}" + (
        "" if same is not None else " (other epochs, device or folds than the run's)"
    )
    yield f"`weights.safetensors` in a fresh process: {accuracy_95(*exported.loaded)}"
    if exported.onnx_judged is not None:
        judged, engine = accuracy_95(*exported.onnx_judged), plain(exported.onnx_engine)
        yield f"`network.onnx` alone, by {engine}: {judged}"
        if spec(source.candidate.transform) is None:
            yield "its accuracy depends on the transform's code, which ran beside `network.onnx`"
    if not onnx_agrees(exported):
        yield "**`network.onnx` disagrees with the weights**: tracing recorded another path"
    if not agrees(exported):
        yield "**the files disagree with the training**: part of the network is not in `state_dict`"
    yield confirmed(source.confirmation)


def agrees(exported: Exported) -> bool:
    """Return True if a card may say that exported weights predict as well as the training.

    On other devices than the CPU, and in bfloat16, rounding differs between processes.
    """
    evaluation, last = exported.evaluation, exported.evaluation.epochs[-1]
    precision = json.loads(evaluation.protocol).get("precision")
    exact = evaluation.device == "cpu" and precision == "float32"
    return abs(exported.loaded[0] - last.correct) <= (0 if exact else _slack(last.total))


def onnx_agrees(exported: Exported) -> bool:
    """Return True if a card may say that the ONNX file predicts as well as the weights.

    On fewer images, the weights' accuracy must lie in its 95% interval. True without ONNX file.
    """
    if exported.onnx_judged is None:
        return True
    (right, images), (correct, total) = exported.onnx_judged, exported.loaded
    if images == total:
        return abs(right - correct) <= _slack(total)
    low, high = wilson(right, images)
    return low <= correct / total <= high


def _slack(images: int) -> int:
    return max(1, images // 200)


def confirmed(confirmation: Confirmation | None) -> str:
    """Return the test accuracy for a card, or that there is none."""
    if confirmation is None or confirmation.accuracy is None:
        return "no test accuracy: not in the sample of `nngpt cycle confirm`"
    epochs = json.loads(confirmation.protocol).get("epochs")
    right = round(confirmation.accuracy * confirmation.total)
    found = accuracy_95(right, confirmation.total)
    return f"test accuracy of another, full training ({epochs} epochs): {found} test images"


def author(source: BestNetwork) -> Iterator[str]:
    """Yield the lines of a card on the network's author: model, adapters, prompt, seed, blocks."""
    yield plain(written_by(source.attempt))
    for adapter in source.lineage:
        came = f"from {adapter.parent}" if adapter.parent else f"from the base {adapter.base}"
        corpus = f"{adapter.pairs} pairs, corpus {adapter.corpus_hash[:16]}"
        yield f"adapter {plain(adapter.name)}: {plain(came)}, {corpus}"
    prompt, completion = source.prompt, source.attempt.completion
    yield f"prompt: template {plain(prompt.template)}, hash {prompt.template_hash}, {prompt.mode}"
    yield f"sampling seed {completion.seed}, answer {completion.index} of its batch"
    for block in prompt.blocks:
        yield f"its prompt showed {plain(_provenance(block))}"
    if not prompt.blocks:
        yield "its prompt showed no block of a library"


def source_file(source: BestNetwork) -> str:
    """Return the code file beside an exported network's card, with its origin in comments."""
    run, candidate = source.run, source.candidate
    lines = [
        f"Attempt {source.attempt.id} of nngpt's run {run.id} ({run.name}), {run.created}",
        f"Written by {written_by(source.attempt)}",
        f"Content hash of what follows: {candidate.content_hash}",
        *(f"Its prompt showed {_provenance(block)}" for block in source.prompt.blocks),
        *([] if source.prompt.blocks else ["Its prompt showed no block of a library"]),
    ]
    comments = "".join(f"# {' '.join(line.split())}\n" for line in lines)
    return f"{comments}\n{candidate.code}"


def index_sheet(rows: Sequence[Mapping[str, Any]], title: str) -> Sheet:
    """Return the table of all exported networks, which their cards describe."""
    heads = ("folder", ">attempt", "accuracy [95%]", "reproduced", "loaded", "ONNX", "test")
    cells = tuple(tuple(_cell(row, head) for head in _INDEX) for row in rows)
    note = "Correct predictions on validation images; loaded and ONNX: from the files alone."
    return Sheet(title, heads, cells, note)


_INDEX = ("folder", "attempt", "judged", "reproduced", "loaded", "onnx", "test")


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return f"refused: {row['refused']}" if name == "folder" else "–"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return accuracy_95(*value) if isinstance(value, list | tuple) else str(value)


def index_json(source: BestNetwork, exported: Exported, same: bool | None) -> dict[str, Any]:
    """Return the facts about an exported network, those of its card, for a script."""
    candidate, evaluation = source.candidate, exported.evaluation
    last, test = evaluation.epochs[-1], source.confirmation
    right = None if test is None or test.accuracy is None else round(test.accuracy * test.total)
    return {
        "folder": source.folder,
        "attempt": source.attempt.id,
        "judged": (last.correct, last.total),
        "test": None if test is None or right is None else (right, test.total),
        "content_hash": candidate.content_hash,
        "accuracy": evaluation.accuracy,
        "epochs": [asdict(epoch) for epoch in evaluation.epochs],
        "seed": evaluation.seed,
        "reproduced": same,
        "loaded": exported.loaded,
        "onnx": exported.onnx_judged,
        "onnx_engine": exported.onnx_engine,
        "onnx_problem": exported.onnx_problem,
        "in_shape": exported.in_shape,
        "needs_setup": exported.needs_setup,
        "claimed_parameters": evaluation.claimed_parameters,
        "claimed_flops": evaluation.claimed_flops,
        "tensors": len(exported.tensors),
        "hyperparameters": dict(candidate.hyperparameters),
        "batch": candidate.batch,
        "transform": candidate.transform,
        "sandbox": evaluation.sandbox,
    }
